"""Whether a version that runs dark may get requests: it against the version in use, both asked the same questions.

Rule: as in `core.gate`, every demand is checked, each finding carries its figures, and what was not measured fails. But
where that gate judges a model, this one judges two endpoints as they run: the very pods, code and settings that
requests will meet. So its demands are differences, and the accuracy's is made of the lower end of its interval: a
version may be as good, and must not be able to be much worse.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from visionthink.core.gate import Decision, Reason
from visionthink.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFigures:
    """What one endpoint came to. None was not measured."""

    num_samples: int
    accuracy: float
    resize_rate: float | None
    visual_tokens_mean: float | None
    failed_ratio: float | None
    """Share of questions without a graded answer."""
    latency_p95_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyGain:
    """Accuracy of the new version minus that of the version in use, question by question, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutGate:
    """What the new version must reach. None switches a demand off."""

    min_samples: int = 100
    min_accuracy_gain: float | None = -0.05
    """Least lower end of the gain's interval; a negative value tolerates a loss."""
    max_resize_rate_change: float | None = 0.15
    """Most by which the resize rate may differ, either way."""
    max_visual_token_ratio: float | None = 1.15
    """Most visual tokens, as a share of the other's."""
    max_latency_ratio: float | None = 1.5
    """Longest 95th percentile of the latency, as a share of the other's."""
    max_failed_ratio: float | None = 0.01
    """Most questions without a graded answer."""

    def __post_init__(self) -> None:
        """Refuse demands that nothing can meet."""
        bounds = (self.max_resize_rate_change, self.max_visual_token_ratio, self.max_latency_ratio)
        if self.min_samples < 1 or any(bound is not None and bound < 0 for bound in (*bounds, self.max_failed_ratio)):
            raise ConfigError(f"min_samples must be at least 1 and bounds at least 0, got {self}")


def judge_version(
    candidate: EndpointFigures, incumbent: EndpointFigures, gain: AccuracyGain | None, rule: RolloutGate
) -> Decision:
    """Hold the new version against every demand; `gain` is None where no question was answered by both."""
    reasons = tuple(_reasons(candidate, incumbent, gain, rule))
    return Decision(promote=all(reason.passed for reason in reasons), reasons=reasons)


def _reasons(
    candidate: EndpointFigures, incumbent: EndpointFigures, gain: AccuracyGain | None, rule: RolloutGate
) -> Iterator[Reason]:
    yield _reason(
        "min_samples",
        float(candidate.num_samples),
        rule.min_samples,
        f"{candidate.num_samples} samples, at least {rule.min_samples} wanted",
        is_least=True,
    )
    if rule.min_accuracy_gain is not None:
        told = (
            "no question answered by both" if gain is None else f"{gain.value:+.4f} [{gain.low:+.4f} {gain.high:+.4f}]"
        )
        yield _reason(
            "min_accuracy_gain",
            None if gain is None else gain.low,
            rule.min_accuracy_gain,
            f"accuracy {candidate.accuracy:.4f} against {incumbent.accuracy:.4f} in use: {told}, "
            f"a lower end of at least {rule.min_accuracy_gain:+.4f} wanted",
            is_least=True,
        )
    yield from _band(candidate, incumbent, rule)
    for name, bound, ours, theirs in (
        (
            "max_visual_token_ratio",
            rule.max_visual_token_ratio,
            candidate.visual_tokens_mean,
            incumbent.visual_tokens_mean,
        ),
        ("max_latency_ratio", rule.max_latency_ratio, candidate.latency_p95_s, incumbent.latency_p95_s),
    ):
        if bound is not None:
            yield _ratio(name, bound, ours, theirs)
    if rule.max_failed_ratio is not None:
        text = f"share of questions without a graded answer {_shown(candidate.failed_ratio)}"
        yield _reason("max_failed_ratio", candidate.failed_ratio, rule.max_failed_ratio, text)


def _band(candidate: EndpointFigures, incumbent: EndpointFigures, rule: RolloutGate) -> Iterator[Reason]:
    if rule.max_resize_rate_change is None:
        return
    ours, theirs = candidate.resize_rate, incumbent.resize_rate
    change = None if ours is None or theirs is None else abs(ours - theirs)
    text = f"resize rate {_shown(ours)} against {_shown(theirs)} in use"
    yield _reason("max_resize_rate_change", change, rule.max_resize_rate_change, text)


_NOUNS = {"max_visual_token_ratio": "visual tokens", "max_latency_ratio": "p95 latency in s"}


def _ratio(name: str, bound: float, ours: float | None, theirs: float | None) -> Reason:
    ratio = None if ours is None or theirs is None or theirs <= 0 else ours / theirs
    return _reason(name, ratio, bound, f"{_NOUNS[name]} {_shown(ours)} against {_shown(theirs)} in use")


def _reason(name: str, value: float | None, bound: float, text: str, *, is_least: bool = False) -> Reason:
    passed = value is not None and (value >= bound if is_least else value <= bound)
    shown = text if is_least else f"{text}: {_shown(value)}, at most {bound:.4f} wanted"
    return Reason(name=name, passed=passed, value=value, bound=bound, text=shown)


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"
