"""A judge that finds every answer wrong, and remembers whether it was closed."""

from collections.abc import Sequence
from dataclasses import dataclass

from visionthink.judges import Grade, GradeItem


@dataclass
class SternJudge:
    """Grades without a look."""

    num_graded: int = 0
    is_closed: bool = False

    async def grade(self, items: Sequence[GradeItem]) -> list[Grade]:
        self.num_graded += len(items)
        return [Grade(correct=0.0) for _ in items]

    async def aclose(self) -> None:
        self.is_closed = True
