"""What a report is made of.

Rule: plain values, measured and summed up elsewhere. Nothing in this folder computes a figure of merit from raw
results, so the report, MLflow and summary.json can't disagree; it draws and phrases what it is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Row(StrEnum):
    """Who answered the held-out questions."""

    ALWAYS_LOW = "always_low"
    """The base model, given the quarter view and nothing else."""
    ALWAYS_HIGH = "always_high"
    """The base model, given the full view at once."""
    BASE = "base"
    """The base model, free to ask for the larger view."""
    TRAINED = "trained"
    """The trained model, free to ask for the larger view."""

    @property
    def label(self) -> str:
        """The name in charts and tables."""
        return _ROW_LABELS[self]


_ROW_LABELS: Mapping[Row, str] = {
    Row.ALWAYS_LOW: "quarter view only",
    Row.ALWAYS_HIGH: "full view always",
    Row.BASE: "base model",
    Row.TRAINED: "trained model",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean and the ends of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFigures:
    """How one row did on the whole held-out split."""

    row: Row
    num_samples: int
    accuracy: Interval
    """Share of correct answers, 0..1."""
    visual_tokens: Interval
    """Mean visual tokens of a sample, all views together."""
    resize_rate: float
    """Share of samples with a second view, 0..1."""
    resize_rate_needed: float | None
    """The same among samples that need the full resolution; None where that is not known."""
    resize_rate_not_needed: float | None
    latency_s: float
    """Mean seconds from question to final answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyFigures:
    """How one row did on one family of questions."""

    family: str
    row: Row
    needs_high_res: bool | None
    """Whether the family's questions need the full resolution; None where that is not known."""
    held_out: bool
    """True when the family was kept out of training."""
    num_samples: int
    accuracy: float
    resize_rate: float
    visual_tokens: float
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One metric over the training steps."""

    key: str
    """A key of `visionthink.metrics`."""
    points: tuple[tuple[int, float], ...]
    """(step, value), steps rising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Held-out samples by whether they need the full resolution and whether the trained model asked for it."""

    needed_asked: int
    needed_answered: int
    not_needed_asked: int
    not_needed_answered: int

    @property
    def matrix(self) -> list[list[int]]:
        """Rows: needed, not needed. Columns: asked, answered directly."""
        return [[self.needed_asked, self.needed_answered], [self.not_needed_asked, self.not_needed_answered]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownView:
    """A view as the model saw it."""

    png: bytes = field(repr=False)
    width: int
    height: int
    visual_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTurn:
    """One message of a conversation."""

    speaker: str
    """`system`, `user` or `assistant`."""
    text: str
    views: tuple[ShownView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One held-out question and the whole conversation about it."""

    question: str
    family: str
    needs_high_res: bool | None
    want: str
    """The true answer."""
    got: str | None
    """The model's answer; None when it gave none."""
    correct: bool
    visual_tokens: int
    turns: tuple[ShownTurn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInput:
    """Everything that a report shows. Parts that a run does not have are left empty, and their sections disappear."""

    title: str
    subtitle: str = ""
    """One line below the title: model, run id, date."""
    rows: tuple[RowFigures, ...] = ()
    families: tuple[FamilyFigures, ...] = ()
    curves: tuple[Curve, ...] = ()
    confusion: Confusion | None = None
    examples: tuple[Example, ...] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    """Flat settings (`tracking.flatten`)."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall seconds by stage, `total` last."""
