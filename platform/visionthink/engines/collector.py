"""Gathers what arrives while a worker is busy into that worker's next batch.

Rule: one thread does the blocking work, and every caller, of whatever event loop or thread, joins the next round.
Sixteen requests that come in one by one thus cost a few batches, not sixteen. A caller that gives up (is cancelled,
times out) stops costing time: its items are skipped, or ended early by work that asks `is_cancelled`.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

from visionthink.errors import EngineError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class Job(Generic[Item, Result]):
    """One item and the promise of its result."""

    item: Item
    future: Future[Result] = field(default_factory=Future)

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for the result any more."""
        return self.future.cancelled()

    def finish(self, result: Result) -> None:
        """Hand the result over, if somebody still waits."""
        try:
            self.future.set_result(result)
        except InvalidStateError:  # cancelled in this very moment
            return

    def fail(self, error: BaseException) -> None:
        """Raise `error` where the result is awaited, if it has no result yet."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return


class Collector(Generic[Item, Result]):
    """Runs `work(jobs)` in one thread on everything that is waiting; `work` finishes every job."""

    def __init__(self, work: Callable[[list[Job[Item, Result]]], None], *, name: str) -> None:
        """Name the thread `name`; it starts with the first item."""
        self._work = work
        self._waiting: list[Job[Item, Result]] = []
        self._is_closed = False
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def submit(self, items: Sequence[Item]) -> list[Result]:
        """The results, in order. What `work` raises is raised here.

        Raises:
            EngineError: the collector was closed.
        """
        jobs: list[Job[Item, Result]] = [Job(item) for item in items]
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine was closed; open a new one", retryable=False)
            self._waiting.extend(jobs)
            self._executor.submit(self._round)
        return list(await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs)))

    def close(self) -> None:
        """End the thread after its present round; whatever still waits is cancelled."""
        with self._lock:
            self._is_closed = True
            waiting, self._waiting = self._waiting, []
        for job in waiting:
            job.future.cancel()
        self._executor.shutdown(wait=False)

    def join(self) -> None:
        """Wait until the thread has ended; call it after `close`, and not in an event loop."""
        self._executor.shutdown(wait=True)

    def _round(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        jobs = [job for job in waiting if not job.is_cancelled]
        if not jobs:
            return
        try:
            self._work(jobs)
        except BaseException as error:  # whatever it is, the callers wait for it: they raise it
            for job in jobs:
                job.fail(error)
