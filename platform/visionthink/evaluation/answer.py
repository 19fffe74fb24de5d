"""What one contender made of one held-out sample.

Rule: everything that a figure is computed of stands here, so that figures can be computed again without the model.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Self

from visionthink.core.episode import Outcome
from visionthink.core.json_value import Json
from visionthink.core.sample import Sample
from visionthink.core.trace import Trace
from visionthink.episodes.runner import Done, End, GradedEpisode, Lost
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
    score: float
    """What the answer is worth, 0 wrong to 1 correct; 0 and without meaning where it failed."""
    error: str | None
    """Why it could not be had or not be graded: then it says nothing about the model, and is in no share."""
    asked: bool
    """Whether a further view was shown."""
    asked_whole: bool
    """Whether a further view showed the whole picture."""
    asked_right: bool | None
    """Whether a further view of a region holds the evidence; None without one, or where nobody knows."""
    visual_tokens_asked: int
    """Of the views shown beyond the first."""
    shortcut: bool
    """Whether it began with the full view because a call was likely."""
    visual_tokens: int
    """As its contender counts them."""
    reply_tokens: int
    """That the model wrote, all turns."""
    num_turns: int
    outcome: str

    @property
    def failed(self) -> bool:
        """Whether it is no answer but a failure."""
        return self.error is not None

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


def to_answer(sample: Sample, end: End, visual_tokens: Callable[[Trace], int]) -> Answer:
    """The answer to `sample` that its one episode ended with; `visual_tokens` says what it cost."""
    match end:
        case Lost(error=error):
            return _answer(sample, error=error)
        case Done(episodes=(GradedEpisode(finish=finish, grade=grade),)):
            return _answer(
                sample,
                got=finish.answer,
                score=0.0 if grade.failed else float(grade.correct),
                error=(grade.error or "the judge gave no grade") if grade.failed else None,
                asked=finish.trace.asked,
                asked_whole=finish.trace.asked_whole,
                asked_right=finish.trace.asked_right(sample.region),
                visual_tokens_asked=finish.trace.visual_tokens_asked,
                shortcut=finish.trace.shortcut,
                visual_tokens=visual_tokens(finish.trace),
                reply_tokens=finish.trace.num_reply_tokens,
                num_turns=len(finish.trace.turns),
                outcome=finish.outcome.value,
            )
        case _:
            raise AssertionError(f"one episode was asked of {sample.id}, not {len(end.episodes)}")


def _answer(
    sample: Sample,
    *,
    error: str | None,
    got: str | None = None,
    score: float = 0.0,
    asked: bool = False,
    asked_whole: bool = False,
    asked_right: bool | None = None,
    visual_tokens_asked: int = 0,
    shortcut: bool = False,
    visual_tokens: int = 0,
    reply_tokens: int = 0,
    num_turns: int = 0,
    outcome: str = Outcome.FAILED.value,
) -> Answer:
    return Answer(
        id=sample.id,
        family=sample.family,
        needed=sample.needs_high_res,
        want=sample.answer,
        got=got,
        score=score,
        error=error,
        asked=asked,
        asked_whole=asked_whole,
        asked_right=asked_right,
        visual_tokens_asked=visual_tokens_asked,
        shortcut=shortcut,
        visual_tokens=visual_tokens,
        reply_tokens=reply_tokens,
        num_turns=num_turns,
        outcome=outcome,
    )
