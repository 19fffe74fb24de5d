"""What every judge looks like: question, true answer and prediction in; correct or not, or "cannot tell", out.

Rule: a judge that fails says so. A failed grade is never a wrong answer: the caller drops the sample and counts it
(an unreachable server is no evidence that the model was wrong).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from visionthink.errors import JudgeError


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeItem:
    """One prediction to be graded.

    `question` is the clean question, without the prompt around it; `prediction` is the extracted answer, None when the
    episode ended without one.
    """

    question: str
    answer: str
    prediction: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """`correct` in [0, 1]; without meaning when `failed`, which means that the judge could not tell."""

    correct: float
    failed: bool = False


def refuse_outage(grades: Sequence[Grade]) -> None:
    """Nothing, unless the judge failed on every single item: then it is out of order, and there is nothing to count.

    Raises:
        JudgeError: it failed on all of them.
    """
    if grades and all(grade.failed for grade in grades):
        raise JudgeError(
            f"the judge failed on all of {len(grades)} answers; see that it runs (judge.uri), then run the same "
            "command again",
            retryable=True,
        )


class Judge(Protocol):
    """Grades predictions."""

    async def grade(self, items: Sequence[GradeItem]) -> list[Grade]:
        """One grade per item, in order. Failures come back as `Grade(failed=True)`, never as an exception."""
        ...

    async def aclose(self) -> None:
        """Give connections back; the judge is not used afterwards. Closing twice is allowed."""
        ...
