"""Evaluation: what training gained, what it cost, and how sure that is, on held-out samples.

Rule: contenders answer the same questions of a benchmark: the base model at either size (`always_low`, `always_high`),
the base and the trained model free to ask, and the model in use where there is one (`champion`). All greedy, so an
evaluation repeats.
"""

from visionthink.evaluation.answer import Answer
from visionthink.evaluation.stage import evaluate_stage

__all__ = ["Answer", "evaluate_stage"]
