"""The judge of two: the rule decides what it can, and somebody else is asked for the rest.

Rule: what the rule has decided is final. The other judge, a language model as a rule, sees only what the rule cannot
tell.
"""

from visionthink.judges.judge import Grade, GradeItem, Judge
from visionthink.judges.rule import RuleJudge


class RuleFirstJudge:
    """Grades by rule, and asks `other` about the items that no rule can tell."""

    def __init__(self, other: Judge) -> None:
        """Ask `other` second."""
        self._rule = RuleJudge()
        self._other = other

    async def grade(self, item: GradeItem) -> Grade:
        """The rule's grade, or the other judge's where the rule cannot tell."""
        grade = await self._rule.grade(item)
        return await self._other.grade(item) if grade.failed else grade

    async def aclose(self) -> None:
        """Close the other judge."""
        await self._other.aclose()
