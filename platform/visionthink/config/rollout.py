"""Settings of a rollout: its steps, what it must prove before and between them, and how long each may take.

Rule: nothing here changes a run's results, so every setting is operational. What is not demanded is left out by an
explicit `false` or None, never by a number that nothing reaches.
"""

from typing import Annotated

from pydantic import Field, model_validator

from visionthink.config.data import NonNegative, Positive, PositiveInt, Share
from visionthink.config.section import Section
from visionthink.core.rollout import RolloutPlan
from visionthink.core.rollout_gate import RolloutGate
from visionthink.core.slo import SloRule

Change = Annotated[float, Field(ge=-1, le=1)]


class SloConfig(Section):
    """What requests must be like while a canary has a share. The promises have the names of `core.slo.SloRule`."""

    checked: bool = True
    """Whether they are checked at all; `false` only waits at each share."""
    prometheus: str = Field(default="http://prometheus-operated.monitoring:9090", pattern=r"^https?://.+")
    """Where they are read."""
    timeout_s: Positive = 10.0
    """Of one query."""
    min_requests: PositiveInt = 50
    """Requests of the canary at one share below which nothing can be told of it."""
    max_error_ratio: Share = 0.01
    """Roll back above this share of requests that fail by the server's fault."""
    max_latency_p95_s: Positive | None = None
    """Roll back above this 95th percentile of the latency; None: only the next setting bounds it."""
    max_latency_ratio: Positive | None = 1.5
    """Roll back above this share of the stable version's 95th percentile."""
    max_resize_rate_change: Share | None = 0.2
    """Roll back when the resize rate differs by more than this from the stable version's."""

    def rule(self) -> SloRule:
        """The core's own record."""
        return SloRule(
            min_requests=self.min_requests,
            max_error_ratio=self.max_error_ratio,
            max_latency_p95_s=self.max_latency_p95_s,
            max_latency_ratio=self.max_latency_ratio,
            max_resize_rate_change=self.max_resize_rate_change,
        )


class RolloutConfig(Section):
    """How a new version comes into use on a cluster; demands are called as in `core.rollout_gate.RolloutGate`."""

    percents: tuple[int, ...] = (5, 25, 50)
    """Shares of the canary, rising from 1 to 99; none at all promotes what passed the evaluation at once."""
    hold_s: NonNegative = 600.0
    """How long each share is watched."""
    max_hold_s: Positive = 3600.0
    """How long a share is watched at most for the requests that the SLOs need; with fewer by then, it is rolled
    back."""
    poll_s: Positive = 5.0
    """Between two looks at the cluster, and at the SLOs."""
    settle_s: NonNegative = 5.0
    """After a change of the shares, how long gateways may still act by the old ones: no version is taken away
    sooner."""
    ready_timeout_s: Positive = 2400.0
    """How long pods may take to come up: an image, a model, vLLM. Longer is a version that does not start."""
    evaluated: bool = True
    """Whether the dark version is asked the held-out questions, beside the version in use, before it gets a request."""
    num_samples: PositiveInt = 200
    """Questions for each of the two."""
    num_latency_samples: PositiveInt = 24
    """Questions asked one at a time to measure latency."""
    max_in_flight: PositiveInt = 8
    """Questions at a time: the version in use is at work beside them."""
    question_timeout_s: Positive = 120.0
    """Of one try of one question."""
    min_samples: PositiveInt = 100
    """Go on only after so many answers, or more."""
    min_accuracy_gain: Change = -0.05
    """Go on only if the lower end of the accuracy's gain over the version in use (95 % interval) is this or more; a
    negative value tolerates a loss."""
    max_resize_rate_change: Share | None = 0.15
    """Go on only if the resize rate differs by this or less from that of the version in use."""
    max_visual_token_ratio: Positive | None = 1.15
    """Go on only at this share of the visual tokens of the version in use, or less."""
    max_latency_ratio: Positive | None = 1.5
    """Go on only at this share of its 95th percentile of the latency, or less."""
    max_failed_ratio: Share = 0.01
    """Go on only if this share of the questions, or less, ended without a graded answer."""
    slo: SloConfig = SloConfig()

    def plan(self, version: str, incumbent: str) -> RolloutPlan:
        """The core's own record of the steps.

        Raises:
            ConfigError: the version is in use, or the shares do not rise.
        """
        return RolloutPlan(version=version, incumbent=incumbent, percents=self.percents, is_evaluated=self.evaluated)

    def gate(self) -> RolloutGate:
        """The core's own record of the demands."""
        return RolloutGate(
            min_samples=self.min_samples,
            min_accuracy_gain=self.min_accuracy_gain,
            max_resize_rate_change=self.max_resize_rate_change,
            max_visual_token_ratio=self.max_visual_token_ratio,
            max_latency_ratio=self.max_latency_ratio,
            max_failed_ratio=self.max_failed_ratio,
        )

    @model_validator(mode="after")
    def _fits(self) -> "RolloutConfig":
        self.plan("new", "old")
        if self.max_hold_s < self.hold_s:
            raise ValueError(f"max_hold_s ({self.max_hold_s:g}) is below hold_s ({self.hold_s:g})")
        if self.evaluated and self.num_samples < self.min_samples:
            raise ValueError(f"num_samples ({self.num_samples}) is below min_samples ({self.min_samples})")
        return self
