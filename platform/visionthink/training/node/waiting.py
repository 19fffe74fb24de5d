"""Waiting that a SIGTERM cuts short."""

import threading
import time
from typing import Final

POLL_S: Final = 0.5


class Deadline:
    """A moment that comes."""

    def __init__(self, seconds: float) -> None:
        """So many seconds from now."""
        self._at_s = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether the moment has come."""
        return time.monotonic() >= self._at_s

    @property
    def left_s(self) -> float:
        """Seconds until then, at least 0."""
        return max(0.0, self._at_s - time.monotonic())


class StopRequest:
    """Whether this node was asked to go, and how much of the grace it then got is left."""

    def __init__(self, grace_s: float) -> None:
        """Not asked yet."""
        self._asked = threading.Event()
        self._grace_s = grace_s
        self._deadline: Deadline | None = None

    def ask(self, *_: object) -> None:
        """Ask; a second time changes nothing. Fit to be a signal handler."""
        if self._deadline is None:
            self._deadline = Deadline(self._grace_s)
        self._asked.set()

    @property
    def is_asked(self) -> bool:
        """Whether it was."""
        return self._asked.is_set()

    @property
    def left_s(self) -> float:
        """Seconds of the grace period; all of them while nobody asked."""
        return self._grace_s if self._deadline is None else self._deadline.left_s

    def pause(self, seconds: float = POLL_S) -> None:
        """Wait, but no longer than until somebody asks. Who was asked before waits all the same."""
        if self.is_asked:
            time.sleep(min(seconds, POLL_S))
        else:
            self._asked.wait(seconds)
