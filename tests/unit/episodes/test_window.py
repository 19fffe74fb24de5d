"""Never more at work than the window holds, no place empty while something waits, and one error ends all."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest

from visionthink.episodes.window import run_window
from visionthink.errors import DataError


class Workshop:
    """Counts what is at work; each task takes as many turns of the loop as its number says."""

    def __init__(self, tasks_each: int = 1) -> None:
        self.tasks_each = tasks_each
        self.num_at_work = self.most_at_work = 0
        self.done: list[int] = []

    def start(self, item: int) -> list[Callable[[], Awaitable[None]]]:
        return [partial(self.work, item)] * self.tasks_each

    async def work(self, item: int) -> None:
        self.num_at_work += 1
        self.most_at_work = max(self.most_at_work, self.num_at_work)
        for _ in range(item % 7 + 1):
            await asyncio.sleep(0)
        self.num_at_work -= 1
        self.done.append(item)


def lazily(count: int, taken: list[int]) -> Iterator[int]:
    for item in range(count):
        taken.append(item)
        yield item


@pytest.mark.parametrize("tasks_each", [1, 3])
async def test_everything_is_done_within_the_window(tasks_each: int) -> None:
    shop = Workshop(tasks_each)
    await run_window(range(100), shop.start, size=5)
    assert sorted(shop.done) == sorted([*range(100)] * tasks_each)
    assert shop.most_at_work == 5


async def test_a_window_wider_than_the_work_holds_all_of_it() -> None:
    shop = Workshop()
    await run_window([1, 2, 3], shop.start, size=100)
    assert shop.most_at_work == 3
    await run_window([], shop.start, size=100)


async def test_the_source_is_read_only_as_fast_as_the_work_is_done() -> None:
    taken: list[int] = []
    gate = asyncio.Event()

    async def stuck() -> None:
        await gate.wait()

    task = asyncio.create_task(run_window(lazily(10_000, taken), lambda item: [stuck], size=4))
    async with asyncio.timeout(10):
        while len(taken) < 32:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
    assert len(taken) <= 48, "what is at work, and two chunks ahead"
    gate.set()
    await task
    assert len(taken) == 10_000


async def test_the_slowest_does_not_hold_up_the_others() -> None:
    """With a barrier by batch the second batch would wait for number 0 for ever."""
    gate, seen = asyncio.Event(), list[int]()

    async def work(item: int) -> None:
        if item == 0:
            await gate.wait()
        seen.append(item)
        if len(seen) == 99:
            gate.set()

    await run_window(range(100), lambda item: [partial(work, item)], size=2)
    assert seen[-1] == 0


@pytest.mark.parametrize("error", [DataError("row 3"), OSError("disk")])
async def test_the_first_error_ends_everything(error: Exception) -> None:
    cancelled: list[int] = []

    async def work(item: int) -> None:
        if item == 3:
            raise error
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    with pytest.raises(type(error)) as caught:
        await run_window(range(1000), lambda item: [partial(work, item)], size=8)
    assert caught.value is error
    assert set(cancelled) <= set(range(9)) - {3} and len(cancelled) >= 3


async def test_an_error_of_the_source_is_told_as_it_is() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise DataError("row 2 of a.parquet")

    with pytest.raises(DataError, match="row 2"):
        await run_window(broken(), Workshop().start, size=2)


async def test_cancelling_cancels_the_work() -> None:
    left = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    task = asyncio.create_task(run_window([1], lambda item: [work], size=2))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left.is_set()
