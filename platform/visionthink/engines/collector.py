"""Gathers what arrives while a worker is busy into that worker's next batch.

Rule: one thread does the blocking work, and every caller, of whatever event loop or thread, joins the next round. A
round begins when the callers' loop has come to rest: all tasks that can submit something have done so. Sixteen requests
that come in one by one thus cost a few batches, not sixteen, and what shares a batch does not depend on how fast the
machine is. A caller that gives up (is cancelled, times out) stops costing time: its item is skipped, or ended early by
work that asks `is_cancelled`.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Final, Generic, TypeVar

from visionthink.errors import EngineError

Item = TypeVar("Item")
Result = TypeVar("Result")

_NUM_QUIET_TURNS: Final = 4
"""Turns of the event loop without a new item after which it counts as at rest: the road from one result over the next
step of an episode, or over the end of one and the start of another, is no longer."""


class Job(Generic[Item, Result]):
    """One item and the promise of its result. Made in the caller's loop, worked on in the worker's thread."""

    def __init__(self, item: Item, loop: asyncio.AbstractEventLoop) -> None:
        self.item = item
        self._loop = loop
        self.future: asyncio.Future[Result] = loop.create_future()

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for the result any more."""
        return self.future.cancelled()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where the result is awaited."""
        return self._loop


class Collector(Generic[Item, Result]):
    """Runs `work(jobs)` in one thread on everything that is waiting; `work` finishes every job through `finish`."""

    def __init__(self, work: Callable[[list[Job[Item, Result]]], None], *, name: str) -> None:
        """Name the thread `name`; it starts with the first item."""
        self._work = work
        self._waiting: list[Job[Item, Result]] = []
        self._watching: asyncio.AbstractEventLoop | None = None
        """The loop that looks whether it is at rest; there is never more than one."""
        self._is_busy = False
        self._is_closed = False
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def submit(self, item: Item) -> Result:
        """The result. What `work` raises is raised here.

        Raises:
            EngineError: the collector was closed, before or meanwhile.
        """
        loop = asyncio.get_running_loop()
        job: Job[Item, Result] = Job(item, loop)
        with self._lock:
            if self._is_closed:
                raise _closed()
            self._waiting.append(job)
        self._watch(loop)
        return await job.future

    def finish(self, pairs: Iterable[tuple[Job[Item, Result], Result]]) -> None:
        """Hand results over, all of them in one turn of each caller's loop. Called by `work`."""
        self._settle([(job, result, None) for job, result in pairs])

    def close(self) -> None:
        """End the thread after its present round; whoever still waits for the next one gets an EngineError."""
        with self._lock:
            self._is_closed = True
            waiting, self._waiting = self._waiting, []
        self._settle([(job, None, _closed()) for job in waiting])
        self._executor.shutdown(wait=False)

    def join(self) -> None:
        """Wait until the thread has ended; call it after `close`, and not in an event loop."""
        self._executor.shutdown(wait=True)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let `loop`, in which this runs, look out for its rest, unless a loop does that already."""
        with self._lock:
            # The end of a present round looks again. A loop that was closed while it watched watches no more.
            if not self._waiting or self._is_busy or not (self._watching is None or self._watching.is_closed()):
                return
            self._watching = loop
        self._begin_when_quiet(loop)

    def _begin_when_quiet(self, loop: asyncio.AbstractEventLoop, seen: int = 0, num_quiet: int = 0) -> None:
        """Begin a round once no item has come in for a few turns of the loop."""
        with self._lock:
            num_waiting = len(self._waiting)
            num_quiet = num_quiet + 1 if num_waiting == seen else 0
            if not num_waiting or num_quiet >= _NUM_QUIET_TURNS:
                self._watching = None
                if num_waiting:
                    self._is_busy = True
                    self._executor.submit(self._round)
                return
        loop.call_soon(self._begin_when_quiet, loop, num_waiting, num_quiet)

    def _round(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        jobs = [job for job in waiting if not job.is_cancelled]
        try:
            if jobs:
                self._work(jobs)
        except BaseException as error:  # whatever it is, the callers wait for it: they raise it
            self._settle([(job, None, error) for job in jobs])
        finally:
            with self._lock:
                self._is_busy = False
                loops = {job.loop for job in self._waiting} or {job.loop for job in waiting}
            # Behind the results, which were handed over before: their tasks may have more to submit.
            for loop in loops:
                with suppress(RuntimeError):  # the loop has ended meanwhile; whoever waits in another one begins
                    loop.call_soon_threadsafe(self._watch, loop)

    def _settle(self, ends: list[tuple[Job[Item, Result], Result | None, BaseException | None]]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Job[Item, Result], Result | None, BaseException | None]]]
        by_loop = {}
        for end in ends:
            by_loop.setdefault(end[0].loop, []).append(end)
        for loop, own in by_loop.items():
            with suppress(RuntimeError):  # the loop has ended, and with it whoever waited in it
                loop.call_soon_threadsafe(_set, own)


def _set(ends: list[tuple[Job[Item, Result], Result | None, BaseException | None]]) -> None:
    for job, result, error in ends:
        if job.future.done():  # given up meanwhile, or finished before the work failed
            continue
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)  # type: ignore[arg-type]


def _closed() -> EngineError:
    return EngineError("the engine was closed; open a new one", retryable=False)
