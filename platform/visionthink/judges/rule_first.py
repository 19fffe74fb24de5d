"""The judge of two: the rule decides what it can, and somebody else is asked for the rest.

Rule: what the rule has decided is final. The other judge, a language model as a rule, sees only what the rule cannot
tell.
"""

from visionthink.judges.judge import Grade, GradeItem, Judge
from visionthink.judges.rule import RuleJudge
from visionthink.judges.tally import JudgeTally


class RuleFirstJudge:
    """Grades by rule, and asks `other` about the items that no rule can tell."""

    def __init__(self, other: Judge, *, tally: JudgeTally | None = None) -> None:
        """Ask `other` second; `tally` counts what the rule tells."""
        self._rule = RuleJudge()
        self._other = other
        self._tally = tally or JudgeTally()

    async def grade(self, item: GradeItem) -> Grade:
        """The rule's grade, or the other judge's where the rule cannot tell."""
        grade = await self._rule.grade(item)
        if grade.failed:
            return await self._other.grade(item)
        self._tally.num_told += 1
        return grade

    async def aclose(self) -> None:
        """Close the other judge."""
        await self._other.aclose()
