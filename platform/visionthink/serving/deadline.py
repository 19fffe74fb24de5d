"""When a request has to be over.

Rule: one deadline holds for everything that is done for a request, and it can be moved up while the work is under way:
a server that shuts down cuts what is left, and each request then ends with an answer that says so, streams included.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from visionthink.serving.api_error import ApiError, out_of_time


class Deadline:
    """One request's deadline; belongs to the event loop in which it is kept."""

    def __init__(self, timeout_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`timeout_s` from now."""
        self.timeout_s = timeout_s
        self._clock = clock
        self._end_s = clock() + timeout_s
        self._cut: ApiError | None = None
        self._running: set[asyncio.Timeout] = set()

    @property
    def remaining_s(self) -> float:
        """Seconds that are left, at least 0."""
        return 0.0 if self._cut else max(0.0, self._end_s - self._clock())

    def restart(self) -> None:
        """Count from now."""
        self._end_s = self._clock() + self.timeout_s

    def cut(self, why: ApiError) -> None:
        """End at once what is under way, and whatever is begun from now on, with `why`."""
        self._cut = why
        for timeout in self._running:
            timeout.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def kept(self, late: ApiError | None = None) -> AsyncIterator[None]:
        """Run the block until the deadline at most.

        Raises:
            ApiError: what it was cut with; or `late`, when it took too long (None: 504).
        """
        timeout = asyncio.timeout(self.remaining_s)
        try:
            async with timeout:
                self._running.add(timeout)
                try:
                    yield
                finally:
                    self._running.discard(timeout)
        except TimeoutError as error:
            raise self._cut or late or out_of_time(self.timeout_s) from error
