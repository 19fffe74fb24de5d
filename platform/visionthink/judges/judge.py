"""What every judge looks like: question, true answers and prediction in; correct or not, or "cannot tell", out.

Rule: a judge that fails says so. A failed grade is never a wrong answer: the answer stays without a grade and is graded
again or counted apart (an unreachable server is no evidence that the model was wrong). A judge that is there and cannot
tell right from wrong says that too, instead of guessing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What a benchmark asks a judge about an item in its own words, in place of the judge's."""

    text: str
    """All that a language model is told: one message, no other text around it."""
    read: Callable[[str], float | None] = field(compare=False)
    """What a reply makes the prediction worth, 0 to 1; None where it says nothing clear, and is asked for again."""
    ruled: float | None = field(default=None, compare=False)
    """What the benchmark's rule makes it worth, for a judge that goes by rules; None where the rule cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeItem:
    """One prediction to be graded.

    `question` is the clean question, without the prompt around it; `prediction` is the extracted answer, None when the
    episode ended without one.
    """

    question: str
    answer: str
    prediction: str | None
    other_answers: tuple[str, ...] = ()
    """Further answers that count as right."""
    family: str = ""
    """Kind of question; a benchmark may score its kinds by different rules."""
    details: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False, repr=False)
    """Further cells of the sample's row, by the names of their columns."""
    inquiry: Inquiry | None = None
    """What is asked in place of the judge's own question."""

    @property
    def answers(self) -> tuple[str, ...]:
        """Every answer that counts as right."""
        return (self.answer, *self.other_answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """What a judge says of one prediction."""

    correct: float
    """0 wrong .. 1 correct; without meaning when `failed`."""
    failed: bool = False
    """Whether there is no grade: the judge could not be asked, or could not tell."""
    error: str | None = None
    """Why there is none."""
    retryable: bool = True
    """Whether asking for a failed grade again may give one; False when the judge looked and cannot tell."""


class Judge(Protocol):
    """Grades predictions. Shared freely between tasks of one event loop."""

    async def grade(self, item: GradeItem) -> Grade:
        """The grade of one prediction. A failure comes back as `Grade(failed=True)`, with the reason.

        Raises:
            JudgeError: no item can be graded before the user mends something (a wrong key, no such model).
        """
        ...

    async def aclose(self) -> None:
        """Give connections back; the judge is not used afterwards. Closing twice is allowed."""
        ...
