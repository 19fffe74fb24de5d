"""Whether a trained model may replace the one in use.

Rule: every demand is checked, none is skipped after a first failure, and every finding carries its figures, so that the
decision can be read without the data. A figure that is demanded but was not measured is a failure, not a pass.

A candidate stands against three others measured on the same samples: the base model that always gets every pixel, the
base model that is free to ask, and the incumbent, which is the model in use. Before the first promotion there is no
incumbent. One that is there, or that nobody could ask for, and was not measured, keeps its place.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from visionthink.core.json_value import Json
from visionthink.errors import ConfigError, DataError


class ContenderRole(StrEnum):
    """What a contender of an evaluation is there for: who compares finds it by this, whatever it is called."""

    QUARTER_VIEW = "quarter_view"
    """The cheapest that can be had: the base model, given the quarter view and nothing else."""
    FULL_VIEW = "full_view"
    """What accuracy and visual tokens are shares of: the base model, given the full view at once."""
    BASE = "base"
    """Where training began: the base model, free to ask."""
    INCUMBENT = "incumbent"
    """The model in use."""
    CANDIDATE = "candidate"
    """The model that is judged."""
    OTHER = "other"
    """Shown beside the rest; nothing is decided by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """What a candidate must reach. ``None`` switches a demand off."""

    min_samples: int = 100
    """Fewer samples prove nothing, whatever the other figures say."""
    min_accuracy_ratio: float | None = 0.97
    """Accuracy, as a share of ``full_view``'s."""
    min_accuracy_gain: float | None = 0.0
    """The candidate's accuracy must exceed the base model's by more than this; a negative value tolerates a loss."""
    min_incumbent_gain: float | None = 0.0
    """The candidate's accuracy must exceed the incumbent's by this or more; a negative value tolerates a loss."""
    max_visual_token_ratio: float | None = 0.62
    """Visual tokens of all turns, as a share of ``full_view``'s."""
    min_resize_ratio_needed: float | None = 0.95
    """Share of samples that need the full resolution for which the candidate must ask."""
    max_resize_ratio_not_needed: float | None = 0.05
    """Share of the other samples for which it may ask."""
    max_failed_ratio: float | None = 0.01
    """Share of episodes that ended without anything to grade."""
    max_latency_ratio: float | None = None
    """95th percentile of the latency of all turns, as a share of the incumbent's, or of the base model's where there is
    no incumbent."""

    def __post_init__(self) -> None:
        """Refuse shares that cannot be reached."""
        shares = (self.min_resize_ratio_needed, self.max_resize_ratio_not_needed, self.max_failed_ratio)
        if any(share is not None and not 0 <= share <= 1 for share in shares):
            raise ConfigError(f"resize and failure demands are shares from 0 to 1, got {self}")
        if self.min_samples < 1:
            raise ConfigError(f"min_samples must be at least 1, got {self.min_samples}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What an evaluation found out about one model. ``None`` was not measured."""

    num_samples: int
    accuracy: float
    """Mean score of a sample: the share answered correctly."""
    visual_tokens_mean: float
    """Visual tokens of all views, per sample."""
    resize_ratio_needed: float | None = None
    resize_ratio_not_needed: float | None = None
    failed_ratio: float | None = None
    latency_p95_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse figures that no evaluation gives."""
        if self.num_samples < 0 or self.accuracy < 0 or self.visual_tokens_mean < 0:
            raise DataError(f"counts and accuracy are never negative, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """There is an incumbent, or nobody knows whether there is one, and it was not measured beside the candidate."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One demand, and how the candidate met it."""

    name: str
    """Field of ``GateRule`` that demands it."""
    passed: bool
    value: float | None
    bound: float
    text: str
    """One line with all figures."""

    def __str__(self) -> str:
        """The line, with the verdict in front."""
        return f"{'pass' if self.passed else 'FAIL'} {self.name}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether to promote, and every reason for and against."""

    promote: bool
    """True when every reason passed."""
    reasons: tuple[Reason, ...]

    @property
    def failures(self) -> tuple[Reason, ...]:
        """The reasons against."""
        return tuple(reason for reason in self.reasons if not reason.passed)

    def to_dict(self) -> dict[str, Json]:
        """The decision as JSON."""
        reasons: list[Json] = [
            {
                "name": reason.name,
                "passed": reason.passed,
                "value": reason.value if reason.value is not None and math.isfinite(reason.value) else None,
                "bound": reason.bound,
                "text": reason.text,
            }
            for reason in self.reasons
        ]
        return {"promote": self.promote, "reasons": reasons}


def decide_promotion(
    candidate: Figures, *, full_view: Figures, base: Figures, incumbent: Figures | Unmeasured | None, rule: GateRule
) -> Decision:
    """Hold ``candidate`` against every demand of ``rule``; without an ``incumbent`` no model is in use."""
    reasons = (
        *_accuracy_reasons(candidate, full_view, base, rule),
        *_incumbent_reasons(candidate, incumbent, rule),
        *_cost_reasons(candidate, full_view, base if incumbent is None else incumbent, rule),
        *_share_reasons(candidate, rule),
    )
    return Decision(promote=all(reason.passed for reason in reasons), reasons=reasons)


def _accuracy_reasons(candidate: Figures, full_view: Figures, base: Figures, rule: GateRule) -> Iterator[Reason]:
    yield Reason(
        name="min_samples",
        passed=candidate.num_samples >= rule.min_samples,
        value=candidate.num_samples,
        bound=rule.min_samples,
        text=f"{candidate.num_samples} samples, at least {rule.min_samples} wanted",
    )
    if rule.min_accuracy_ratio is not None:
        ratio = _ratio(candidate.accuracy, full_view.accuracy)
        figures = f"accuracy {candidate.accuracy:.4f} against {full_view.accuracy:.4f} of the full view"
        yield _at_least("min_accuracy_ratio", ratio, rule.min_accuracy_ratio, figures)
    if rule.min_accuracy_gain is not None:
        gain = candidate.accuracy - base.accuracy
        yield Reason(
            name="min_accuracy_gain",
            passed=gain > rule.min_accuracy_gain,
            value=gain,
            bound=rule.min_accuracy_gain,
            text=f"accuracy {candidate.accuracy:.4f} against {base.accuracy:.4f} of the base model: "
            f"{gain:+.4f}, more than {rule.min_accuracy_gain:+.4f} wanted",
        )


def _incumbent_reasons(candidate: Figures, incumbent: Figures | Unmeasured | None, rule: GateRule) -> Iterator[Reason]:
    name, bound = "min_incumbent_gain", rule.min_incumbent_gain
    if incumbent is None or bound is None:
        return
    if isinstance(incumbent, Unmeasured):
        text = f"the incumbent was not measured: {incumbent.reason}"
        yield Reason(name=name, passed=False, value=None, bound=bound, text=text)
        return
    gain = candidate.accuracy - incumbent.accuracy
    text = (
        f"accuracy {candidate.accuracy:.4f} against {incumbent.accuracy:.4f} of the incumbent: "
        f"{gain:+.4f}, at least {bound:+.4f} wanted"
    )
    yield Reason(name=name, passed=gain >= bound, value=gain, bound=bound, text=text)


def _cost_reasons(
    candidate: Figures, full_view: Figures, other: Figures | Unmeasured, rule: GateRule
) -> Iterator[Reason]:
    if rule.max_visual_token_ratio is not None:
        ratio = _ratio(candidate.visual_tokens_mean, full_view.visual_tokens_mean)
        figures = f"{candidate.visual_tokens_mean:.1f} visual tokens against {full_view.visual_tokens_mean:.1f}"
        yield _at_most("max_visual_token_ratio", ratio, rule.max_visual_token_ratio, f"{figures} of the full view")
    if rule.max_latency_ratio is not None:
        ours, theirs = candidate.latency_p95_s, other.latency_p95_s if isinstance(other, Figures) else None
        ratio = None if ours is None or theirs is None else _ratio(ours, theirs)
        figures = f"p95 latency {_shown(ours)} s against {_shown(theirs)} s of the model that it would replace"
        yield _at_most("max_latency_ratio", ratio, rule.max_latency_ratio, figures)


def _share_reasons(candidate: Figures, rule: GateRule) -> Iterator[Reason]:
    if rule.min_resize_ratio_needed is not None:
        figures = "share of asks where the full resolution is needed"
        yield _at_least("min_resize_ratio_needed", candidate.resize_ratio_needed, rule.min_resize_ratio_needed, figures)
    if rule.max_resize_ratio_not_needed is not None:
        figures = "share of asks where the quarter view is enough"
        yield _at_most(
            "max_resize_ratio_not_needed", candidate.resize_ratio_not_needed, rule.max_resize_ratio_not_needed, figures
        )
    if rule.max_failed_ratio is not None:
        figures = "share of episodes without anything to grade"
        yield _at_most("max_failed_ratio", candidate.failed_ratio, rule.max_failed_ratio, figures)


def _at_least(name: str, value: float | None, bound: float, figures: str) -> Reason:
    passed = value is not None and value >= bound
    text = f"{figures}: {_shown(value)}, at least {bound:.4f} wanted"
    return Reason(name=name, passed=passed, value=value, bound=bound, text=text)


def _at_most(name: str, value: float | None, bound: float, figures: str) -> Reason:
    passed = value is not None and value <= bound
    text = f"{figures}: {_shown(value)}, at most {bound:.4f} wanted"
    return Reason(name=name, passed=passed, value=value, bound=bound, text=text)


def _ratio(value: float, reference: float) -> float | None:
    """``value`` as a share of ``reference``; ``None`` against a reference of 0, which proves nothing."""
    return value / reference if reference > 0 else None


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"
