"""When failures mean that something is out of order, and not that a few answers could not be had. Pure.

Rule: a failure is never a result. So the question is only how long to go on asking: as long as others succeed, a
failure is one sample's own; when nothing does any more, each further request is wasted, and whoever runs the stage
should hear of it.
"""

from collections import deque
from dataclasses import dataclass

from visionthink.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRule:
    """How many failures are borne."""

    max_tries: int = 3
    """Of one episode, and of one grade. An engine's own tries count as one."""
    retry_delay_s: float = 1.0
    """Before the second try; it doubles with each further one."""
    max_in_a_row: int = 16
    """Failures without a success between them that are an outage."""
    max_ratio: float = 0.5
    """Share of failures among the last `num_recent` ends that is an outage."""
    num_recent: int = 64

    def __post_init__(self) -> None:
        """Refuse rules that stop at nothing, or at everything."""
        if min(self.max_tries, self.max_in_a_row, self.num_recent) < 1 or not 0 < self.max_ratio <= 1:
            raise ConfigError(f"tries and failures must be at least 1, max_ratio above 0 and at most 1, got {self}")


class FailureWatch:
    """Counts the ends of one backend's requests."""

    def __init__(self, rule: FailureRule, *, has_succeeded: bool = False) -> None:
        """Judge by `rule`; `has_succeeded` tells of successes of an earlier try."""
        self._rule = rule
        self._num_in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=rule.num_recent)
        self.has_succeeded = has_succeeded
        """Whether anything came off at all: then a request that was refused was refused for its own fault."""

    def succeeded(self) -> None:
        """Count a success."""
        self.has_succeeded = True
        self._num_in_a_row = 0
        self._recent.append(False)

    def failed(self) -> str | None:
        """Count a failure; say what makes it an outage, if it is one."""
        self._num_in_a_row += 1
        self._recent.append(True)
        if self._num_in_a_row >= self._rule.max_in_a_row:
            return f"{self._num_in_a_row} in a row failed"
        num_failed = sum(self._recent)
        if len(self._recent) == self._rule.num_recent and num_failed > self._rule.max_ratio * self._rule.num_recent:
            return f"{num_failed} of the last {self._rule.num_recent} failed"
        return None
