"""Whether a request would be answered now.

Rule: probes cost next to nothing. The engine is asked at most every second or two, by one probe for all that come in
the meantime; and what is asked for once too often is told from memory. A server that drains is not ready, whatever its
engine says.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol as Interface
from typing import runtime_checkable

from visionthink.engines import Engine
from visionthink.errors import BackendError
from visionthink.serving.drain import Drain


@runtime_checkable
class HasReadiness(Interface):
    """An engine that may be unreachable."""

    async def is_ready(self) -> bool:
        """Whether a request would be answered now."""
        ...


class Readiness:
    """What probes are told."""

    def __init__(
        self, engine: Engine, drain: Drain, *, max_age_s: float = 1.5, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask `engine` again when what it said is older than `max_age_s`."""
        self._engine = engine
        self._drain = drain
        self._max_age_s = max_age_s
        self._clock = clock
        self._lock = asyncio.Lock()
        self._was_ready = False
        self._asked_s = float("-inf")

    async def is_ready(self) -> bool:
        """Whether a request that comes now would be answered."""
        if self._drain.is_draining:
            return False
        async with self._lock:
            if self._clock() - self._asked_s > self._max_age_s:
                self._was_ready = await self._asked()
                self._asked_s = self._clock()
        return self._was_ready and not self._drain.is_draining

    async def _asked(self) -> bool:
        try:
            return await self._engine.is_ready() if isinstance(self._engine, HasReadiness) else True
        except BackendError:
            return False
