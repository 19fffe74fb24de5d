"""Many things at work at a time, but never more than a window holds.

Rule: what waits costs nothing. An item is taken from its source only when a place in the window is free, so memory
does not grow with the length of the source; a place that becomes free is filled at once, so nobody waits for the
slowest of a batch. The first error ends everything that is at work.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from visionthink.errors import VisionThinkError

_CHUNK: Final = 16  # items read at once; reading may mean a disk or a bucket

Item = TypeVar("Item")


async def run_window(
    items: Iterable[Item], start: Callable[[Item], Sequence[Callable[[], Awaitable[None]]]], *, size: int
) -> None:
    """Run the tasks that `start` makes of each item, at most `size` of them at a time.

    The tasks of an item are started one after the other, as places become free. A sequence is read here, any other
    iterable in a thread, one chunk ahead.

    Raises:
        VisionThinkError: the first that a task or the source raised; the other tasks were cancelled.
    """
    slots = asyncio.Semaphore(size)
    try:
        async with asyncio.TaskGroup() as group:
            async for item in _read(items):
                for task in start(item):
                    await slots.acquire()
                    group.create_task(_in_slot(task, slots))
    except BaseExceptionGroup as errors:
        raise _first(errors) from errors


async def _in_slot(task: Callable[[], Awaitable[None]], slots: asyncio.Semaphore) -> None:
    try:
        await task()
    finally:
        slots.release()


async def _read(items: Iterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, Sequence):
        for item in items:
            yield item
        return
    source = iter(items)
    ahead = asyncio.ensure_future(asyncio.to_thread(_chunk, source))
    try:
        while chunk := await ahead:
            ahead = asyncio.ensure_future(asyncio.to_thread(_chunk, source))
            for item in chunk:
                yield item
    finally:
        ahead.cancel()


def _chunk(source: Iterator[Item]) -> list[Item]:
    return list(islice(source, _CHUNK))


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of our own errors, if there is one: it says what to do."""
    flat = list(_flat(errors))
    return next((error for error in flat if isinstance(error, VisionThinkError)), flat[0])


def _flat(errors: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flat(error)
        else:
            yield error
