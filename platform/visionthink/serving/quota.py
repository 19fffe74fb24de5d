"""How much a key may ask for: requests at a time, and requests a minute.

Rule: a quota is a pure count; time comes in as a number. Requests a minute are a bucket of that many tokens, which
fills up evenly: a key that was quiet may spend a minute's worth at once, and no minute holds more than two.
"""

import math
from dataclasses import dataclass
from typing import Final

from visionthink.serving.api_error import ApiError

_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRule:
    """What a key may ask for; None is no bound."""

    max_in_flight: int | None = None
    """Requests at a time."""
    requests_per_minute: int | None = None


class Bucket:
    """Tokens that fill up evenly to a minute's worth."""

    def __init__(self, per_minute: int, *, now_s: float) -> None:
        """Begin full."""
        self._capacity = float(per_minute)
        self._level = float(per_minute)
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Take one; whether there was one."""
        self._fill(now_s)
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

    def num_left(self, now_s: float) -> int:
        """Whole tokens that are left."""
        self._fill(now_s)
        return int(self._level)

    def seconds_until(self, level: float, now_s: float) -> float:
        """Seconds until that many tokens are there, if none is taken."""
        self._fill(now_s)
        return max(0.0, level - self._level) * _MINUTE_S / self._capacity

    def seconds_until_full(self, now_s: float) -> float:
        """Seconds until a minute's worth is there, if none is taken."""
        return self.seconds_until(self._capacity, now_s)

    def _fill(self, now_s: float) -> None:
        # A clock that stands still, or goes back, fills nothing.
        passed_s = max(0.0, now_s - self._at_s)
        self._level = min(self._capacity, self._level + passed_s * self._capacity / _MINUTE_S)
        self._at_s = max(self._at_s, now_s)


class Quota:
    """What one key has used of its rule."""

    def __init__(self, rule: QuotaRule, *, now_s: float) -> None:
        """Begin with nothing used."""
        self.rule = rule
        self._bucket = Bucket(rule.requests_per_minute, now_s=now_s) if rule.requests_per_minute else None
        self._num_in_flight = 0

    @property
    def num_in_flight(self) -> int:
        """Requests that are under way."""
        return self._num_in_flight

    def under(self, rule: QuotaRule, *, now_s: float) -> "Quota":
        """This under another rule: what is under way still counts, the minute begins anew where its bound changed."""
        if rule == self.rule:
            return self
        if rule.requests_per_minute != self.rule.requests_per_minute:
            self._bucket = Bucket(rule.requests_per_minute, now_s=now_s) if rule.requests_per_minute else None
        self.rule = rule
        return self

    def begin(self, now_s: float) -> None:
        """Count a request that begins.

        Raises:
            ApiError: 429, it is one too many; nothing is counted then.
        """
        bound = self.rule.max_in_flight
        if bound is not None and self._num_in_flight >= bound:
            text = f"this key has {self._num_in_flight} requests in flight, its bound; wait until one has ended"
            raise ApiError(429, text, code="too_many_in_flight", retry_after_s=1)
        if self._bucket is not None and not self._bucket.take(now_s):
            wait_s = math.ceil(self._bucket.seconds_until(1.0, now_s)) or 1
            text = f"this key may send {self.rule.requests_per_minute} requests a minute; try again in {wait_s} s"
            raise ApiError(429, text, code="rate_limit_exceeded", retry_after_s=wait_s)
        self._num_in_flight += 1

    def end(self) -> None:
        """A request has ended."""
        self._num_in_flight -= 1

    def headers(self, now_s: float) -> dict[str, str]:
        """OpenAI's rate-limit headers; none without a bound."""
        if self._bucket is None:
            return {}
        return {
            "x-ratelimit-limit-requests": str(self.rule.requests_per_minute),
            "x-ratelimit-remaining-requests": str(self._bucket.num_left(now_s)),
            "x-ratelimit-reset-requests": f"{self._bucket.seconds_until_full(now_s):.3f}s",
        }
