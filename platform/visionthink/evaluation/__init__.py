"""Evaluation: what training gained, what it cost, and how sure that is, on held-out samples.

Rule: four rows answer the same questions: the base model at either size (`always_low`, `always_high`), and the base and
the trained model free to ask. All greedy, so an evaluation repeats.
"""

from visionthink.evaluation.answer import Answer
from visionthink.evaluation.stage import evaluate_stage

__all__ = ["Answer", "evaluate_stage"]
