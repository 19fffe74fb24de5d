"""What one row made of one held-out sample.

Rule: everything that a figure is computed of stands here, so that figures can be computed again without the model.
"""

from dataclasses import asdict, dataclass
from typing import Self

from visionthink.core.episode import Outcome
from visionthink.core.json_value import Json
from visionthink.core.sample import Sample
from visionthink.episodes.runner import Done, End, Lost
from visionthink.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One episode, graded."""

    id: str
    family: str
    needed: bool | None
    """Whether the full view is known to be needed; None when nobody knows."""
    want: str
    got: str | None
    """What the model answered; None when it gave nothing to grade."""
    correct: bool
    failed: bool
    """Whether it could not be had or not be graded: then it says nothing about the model, and is in no share."""
    asked: bool
    """Whether a second view was shown."""
    visual_tokens: int
    """Of all views."""
    num_turns: int
    outcome: str

    def to_dict(self) -> dict[str, Json]:
        """The answer as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Json) -> Self:
        """Read what `to_dict` made.

        Raises:
            DataError: it is something else.
        """
        if not isinstance(value, dict) or set(value) != set(cls.__slots__):
            raise DataError(f"not an answer record: {str(value)[:200]}; start a fresh run")
        return cls(**value)  # type: ignore[arg-type]


def to_answer(sample: Sample, end: End) -> Answer:
    """The answer to `sample` that its one episode ended with."""
    match end:
        case Lost():
            return _answer(sample, failed=True)
        case Done(episodes=(episode,)):
            finish, grade = episode.finish, episode.grade
            return _answer(
                sample,
                got=finish.answer,
                correct=grade.correct >= 0.5 and not grade.failed,
                failed=grade.failed,
                asked=finish.trace.asked,
                visual_tokens=finish.trace.visual_tokens,
                num_turns=len(finish.trace.turns),
                outcome=finish.outcome.value,
            )
        case _:
            raise AssertionError(f"one episode was asked of {sample.id}, not {len(end.episodes)}")


def _answer(
    sample: Sample,
    *,
    got: str | None = None,
    correct: bool = False,
    failed: bool = False,
    asked: bool = False,
    visual_tokens: int = 0,
    num_turns: int = 0,
    outcome: str = Outcome.FAILED.value,
) -> Answer:
    return Answer(
        id=sample.id,
        family=sample.family,
        needed=sample.needs_high_res,
        want=sample.answer,
        got=got,
        correct=correct,
        failed=failed,
        asked=asked,
        visual_tokens=visual_tokens,
        num_turns=num_turns,
        outcome=outcome,
    )
