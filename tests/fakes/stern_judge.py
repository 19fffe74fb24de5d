"""A judge that finds every answer wrong, and remembers whether it was closed."""

from dataclasses import dataclass

from visionthink.judges import Grade, GradeItem


@dataclass
class SternJudge:
    """Grades without a look."""

    num_graded: int = 0
    is_closed: bool = False

    async def grade(self, item: GradeItem) -> Grade:
        self.num_graded += 1
        return Grade(correct=0.0)

    async def aclose(self) -> None:
        self.is_closed = True
