"""What a report is made of.

Rule: plain values, measured and summed up elsewhere. Nothing in this folder computes a figure of merit from raw
results, so the report, MLflow and summary.json can't disagree; it draws and phrases what it is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from visionthink.core.gate import ContenderRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedFigures:
    """The candidate against another contender, on the questions that both answered."""

    num_samples: int
    difference: float
    """Mean score of the candidate minus that of the other."""
    won: int
    """Questions on which the candidate scored higher ..."""
    lost: int
    """... and lower."""
    p_value: float
    """How often chance alone would be as uneven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContenderFigures:
    """How one contender did on the whole held-out split."""

    name: str
    """As metrics call it."""
    label: str
    """As charts and tables call it."""
    role: ContenderRole
    """What it is compared as."""
    num_samples: int
    """Answered and graded: what every other figure is of."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """How many more an engine or judge failed on, by reason."""
    accuracy: Interval
    """Mean score, 0..1: the share of correct answers."""
    visual_tokens: Interval
    """Mean visual tokens of a sample, all views together."""
    resize_rate: float
    """Share of samples with a further view, 0..1."""
    resize_rate_needed: float | None
    """The same among samples that need the full resolution; None where that is not known."""
    resize_rate_not_needed: float | None
    shortcut_rate: float | None = None
    """Share of samples that began with the full view; None where the shortcut was off."""
    latency_s: float | None
    """Mean seconds from question to final answer; None where none was measured."""
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    reply_tokens: float | None = None
    """Mean tokens that the model wrote, all turns."""
    accuracy_asked: float | None = None
    """Mean score where a further view was shown; None where none was."""
    accuracy_direct: float | None = None
    """The same where none was shown."""
    accuracy_needed: float | None = None
    """Mean score on samples that need the full resolution; None where no such is known."""
    whole_ratio: float | None = None
    """Of the samples with a further view, the share that was shown the whole; None where there was none."""
    right_region_ratio: float | None = None
    """Of the samples that need more pixels and were shown a region, the share whose evidence lies in it; None where no
    region was shown, or nobody knows where the evidence lies."""
    visual_tokens_asked: float | None = None
    """Mean visual tokens of the views beyond the first."""
    regret: float | None = None
    """What a perfect choice of the view by the base model would score more; None where it is not known."""
    visual_token_ratio: float | None = None
    """Visual tokens over those of the full view; None where that was not measured."""
    paired: PairedFigures | None = None
    """The candidate against this one; None of itself, and where they share no question."""
    drops_tokens: bool = False
    """Whether the model drops visual tokens on its way; they are then counted by layer, and this is the mean."""

    @property
    def num_failed(self) -> int:
        """Samples that stand in no figure."""
        return sum(self.failures.values())


def of_role(contenders: Sequence[ContenderFigures], role: ContenderRole) -> ContenderFigures | None:
    """Return the first contender of a role, None where nobody has it."""
    return next((figures for figures in contenders if figures.role is role), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkFigures:
    """How all contenders did on one benchmark."""

    name: str
    """As the settings call it, or `picture world`, or a data set."""
    contenders: tuple[ContenderFigures, ...]
    official: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By name of the contender, the figures under which the benchmark is published, in its units."""
    origin: str = ""
    """The run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyFigures:
    """How one contender did on one family of questions."""

    family: str
    contender: str
    """Its name."""
    needs_high_res: bool | None
    """Whether the family's questions need the full resolution; None where that is not known."""
    held_out: bool
    """True when the family was kept out of training."""
    num_samples: int
    accuracy: float
    resize_rate: float
    visual_tokens: float
    latency_s: float | None
    """Mean seconds to the answer; None where no question of the family was timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One metric over the training steps."""

    key: str
    """A key of `visionthink.metrics`."""
    points: tuple[tuple[int, float], ...]
    """(step, value), steps rising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Held-out samples by whether they need the full resolution and whether the candidate asked for it."""

    needed_asked: int
    needed_answered: int
    not_needed_asked: int
    not_needed_answered: int

    @property
    def matrix(self) -> list[list[int]]:
        """Rows: needed, not needed. Columns: asked, answered directly."""
        return [[self.needed_asked, self.needed_answered], [self.not_needed_asked, self.not_needed_answered]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBox:
    """A region that the model was shown later, as shares (0..1) of the sides of the picture that it is drawn on."""

    left: float
    top: float
    width: float
    height: float
    label: str
    """When it was shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownView:
    """A view as the model saw it, or smaller where it would weigh too much."""

    data: bytes = field(repr=False)
    """The encoded picture."""
    media_type: str = "image/png"
    width: int
    """Pixels that the model got."""
    height: int
    visual_tokens: int
    note: str = ""
    """Where it lies in the original, if it is not all of it."""
    boxes: tuple[ShownBox, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTurn:
    """One message of a conversation."""

    speaker: str
    """`system`, `user` or `assistant`."""
    text: str
    views: tuple[ShownView, ...] = ()
    note: str = ""
    """What became of it: the call that it holds, or why that was refused."""


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
    score: float
    """What the answer is worth: 1 correct, 0 wrong."""
    visual_tokens: int
    turns: tuple[ShownTurn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInput:
    """Everything that a report shows. Parts that a run does not have are left empty, and their sections disappear."""

    title: str
    subtitle: str = ""
    """One line below the title: model, run id, date."""
    contenders: tuple[ContenderFigures, ...] = ()
    benchmarks: tuple[BenchmarkFigures, ...] = ()
    """What is laid side by side by benchmark: of one run, or of several."""
    families: tuple[FamilyFigures, ...] = ()
    curves: tuple[Curve, ...] = ()
    confusion: Confusion | None = None
    examples: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader must know to read the figures right: a sentence each."""
    config: Mapping[str, str] = field(default_factory=dict)
    """Flat settings (`tracking.flatten`)."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall seconds by stage, `total` last."""
