"""Progress as plain lines: readable in a terminal, in a log file and through a pipe.

Rule: at most one line every few seconds, and none that redraws itself. Rate and time left come from the work of this
process alone: work that an earlier try did counts as done, not as fast.
"""

import time
from collections.abc import Callable
from typing import Final

_INTERVAL_S: Final = 5.0


class Progress:
    """Tells how far a piece of work is."""

    def __init__(
        self,
        title: str,
        total: int,
        *,
        unit: str,
        say: Callable[[str], None],
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = _INTERVAL_S,
    ) -> None:
        """Count up to `total` pieces called `unit` (plural), of which `done` were there before."""
        self._title, self._total, self._unit = title, total, unit
        self._say, self._clock, self._interval_s = say, clock, interval_s
        self._first = self._done = done
        self._start_s = self._told_s = clock()
        if done:
            say(f"{title}: {done} of {total} {unit} were done before")

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count finished pieces; `note` ends the line, if one is due."""
        self._done += count
        now_s = self._clock()
        if now_s - self._told_s < self._interval_s and self._done < self._total:
            return
        self._told_s = now_s
        parts = [f"{self._title}: {self._done}/{self._total} {self._unit}", *self._speed(now_s), note]
        self._say(", ".join(part for part in parts if part))

    def _speed(self, now_s: float) -> list[str]:
        fresh, elapsed_s = self._done - self._first, now_s - self._start_s
        if fresh <= 0 or elapsed_s <= 0:
            return []
        if self._done >= self._total:
            return [f"took {duration(elapsed_s)}"]
        rate = fresh / elapsed_s
        speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
        return [speed, f"{duration((self._total - self._done) / rate)} left"]


def duration(seconds: float) -> str:
    """Seconds as people say them: `42 s`, `3:07 min`, `2:15 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"
