"""Whether requests fare as well with a canary as with the version beside it.

Rule: too few requests say nothing, neither well nor ill; what they say then is a verdict at once when it is bad, and at
the end of the watch when it is good. A figure that is missing although there were requests is bad: a promise that
nobody can check is not kept.
"""

from dataclasses import dataclass
from enum import StrEnum

from visionthink.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How the requests of one version fared over a while. None was not measured."""

    num_requests: float
    error_ratio: float | None = None
    """Share of requests that failed by the server's fault."""
    latency_p95_s: float | None = None
    resize_rate: float | None = None
    """Share of requests whose model asked for a further view, among those in which it could choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SloRule:
    """What is promised of a canary. None switches a promise off."""

    min_requests: int = 50
    """Fewer say nothing."""
    max_error_ratio: float | None = 0.01
    max_latency_p95_s: float | None = None
    """In seconds, whatever the other version does."""
    max_latency_ratio: float | None = 1.5
    """95th percentile, as a share of the stable version's, where that has enough requests too."""
    max_resize_rate_change: float | None = 0.2
    """Most by which the resize rate may differ from the stable version's, where that has enough requests too."""

    def __post_init__(self) -> None:
        """Refuse promises that nobody can keep."""
        if self.min_requests < 1:
            raise ConfigError(f"min_requests must be at least 1, got {self.min_requests}")


class Health(StrEnum):
    """What is known of a canary's requests."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How requests fare with a canary."""

    health: Health
    text: str
    """One line with the figures; of what is wrong, where something is."""


def judge_traffic(canary: Traffic, stable: Traffic, rule: SloRule) -> Verdict:
    """Hold the canary's requests against every promise."""
    if canary.num_requests < rule.min_requests:
        text = f"{canary.num_requests:.0f} requests, {rule.min_requests} needed to tell"
        return Verdict(health=Health.UNKNOWN, text=text)
    broken = [
        text
        for bound, value, text in _promises(canary, stable, rule)
        if bound is not None and (value is None or not value <= bound)
    ]
    if broken:
        return Verdict(health=Health.BAD, text="; ".join(broken))
    figures = f"errors {_shown(canary.error_ratio)}, p95 {_shown(canary.latency_p95_s)} s"
    return Verdict(health=Health.GOOD, text=f"{canary.num_requests:.0f} requests, {figures}")


def _promises(canary: Traffic, stable: Traffic, rule: SloRule) -> list[tuple[float | None, float | None, str]]:
    """Bound, value and sentence of each promise."""
    p95, other = canary.latency_p95_s, stable.latency_p95_s
    is_comparable = stable.num_requests >= rule.min_requests
    found: list[tuple[float | None, float | None, str]] = [
        (rule.max_error_ratio, canary.error_ratio, f"error ratio {_over(canary.error_ratio, rule.max_error_ratio)}"),
        (rule.max_latency_p95_s, p95, f"p95 latency in s {_over(p95, rule.max_latency_p95_s)}"),
    ]
    if is_comparable and rule.max_latency_ratio is not None:
        ratio = None if p95 is None or not other else p95 / other
        text = f"p95 latency {_shown(p95)} s against {_shown(other)} s: {_over(ratio, rule.max_latency_ratio)}"
        found.append((rule.max_latency_ratio, ratio, text))
    # Where no request left the choice to the model there is no rate, and nothing to differ.
    if is_comparable and canary.resize_rate is not None and stable.resize_rate is not None:
        change, bound = abs(canary.resize_rate - stable.resize_rate), rule.max_resize_rate_change
        text = f"resize rate {canary.resize_rate:.4f} against {stable.resize_rate:.4f}: {_over(change, bound)}"
        found.append((bound, change, text))
    return found


def _over(value: float | None, bound: float | None) -> str:
    return f"{_shown(value)}, at most {_shown(bound)} promised"


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"
