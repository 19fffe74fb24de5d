"""Judges: whether a predicted answer is right. `rule` needs nothing, `openai_judge` asks a language model.

Rule: importing this package loads no HTTP client; `visionthink.judges.openai_judge` is imported where it is wired.
"""

from visionthink.judges.judge import Grade, GradeItem, Judge
from visionthink.judges.rule import RuleJudge

__all__ = ["Grade", "GradeItem", "Judge", "RuleJudge"]
