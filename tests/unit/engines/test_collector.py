"""Whoever asks while the worker is busy joins its next round."""

import asyncio
from threading import Event

import pytest

from visionthink.engines.collector import Collector, Job


class Worker:
    """Doubles numbers; holds every round until `open` is set, and says when it has begun one."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.begun, self.open = Event(), Event()
        self.open.set()

    def __call__(self, jobs: list[Job[int, int]]) -> None:
        self.rounds.append([job.item for job in jobs])
        self.begun.set()
        assert self.open.wait(10)
        for job in jobs:
            job.finish(job.item * 2)


async def begin(worker: Worker, collector: Collector[int, int], *items: int) -> "asyncio.Task[list[int]]":
    """Hand items over and return once the worker holds them."""
    worker.begun.clear()
    worker.open.clear()
    task = asyncio.create_task(collector.submit(items))
    assert await asyncio.to_thread(worker.begun.wait, 10)
    return task


async def test_results_come_in_the_order_of_the_items() -> None:
    collector = Collector(Worker(), name="test")
    assert await collector.submit([3, 1, 2]) == [6, 2, 4]
    assert await collector.submit([]) == []
    collector.close()


async def test_callers_who_wait_share_the_next_round() -> None:
    worker = Worker()
    collector = Collector(worker, name="test")
    first = await begin(worker, collector, 1)
    others = [asyncio.create_task(collector.submit([n])) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    worker.open.set()
    assert await asyncio.gather(first, *others) == [[2], [4], [6], [8]]
    assert worker.rounds == [[1], [2, 3, 4]]
    collector.close()


async def test_a_caller_who_gave_up_costs_no_round() -> None:
    worker = Worker()
    collector = Collector(worker, name="test")
    first = await begin(worker, collector, 1)
    second = asyncio.create_task(collector.submit([2]))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    worker.open.set()
    assert await first == [2]
    assert await collector.submit([3]) == [6]
    assert worker.rounds == [[1], [3]]
    collector.close()


async def test_work_can_see_that_a_caller_gave_up() -> None:
    seen: list[bool] = []
    begun, go_on = Event(), Event()

    def work(jobs: list[Job[int, int]]) -> None:
        begun.set()
        assert go_on.wait(10)
        seen.extend(job.is_cancelled for job in jobs)
        for job in jobs:
            job.finish(0)

    collector = Collector(work, name="test")
    task = asyncio.create_task(collector.submit([1]))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    collector.close()
    await asyncio.to_thread(collector.join)
    assert seen == [True]


async def test_every_caller_gets_the_error_of_the_work() -> None:
    def work(jobs: list[Job[int, int]]) -> None:
        raise RuntimeError("no")

    collector = Collector(work, name="test")
    with pytest.raises(RuntimeError, match="no"):
        await collector.submit([1, 2])
    with pytest.raises(RuntimeError, match="no"):
        await collector.submit([3])
    collector.close()


async def test_close_cancels_what_waits_and_may_be_called_twice() -> None:
    worker = Worker()
    collector = Collector(worker, name="test")
    first = await begin(worker, collector, 1)
    second = asyncio.create_task(collector.submit([2]))
    await asyncio.sleep(0)
    collector.close()
    collector.close()
    with pytest.raises(asyncio.CancelledError):
        await second
    worker.open.set()
    assert await first == [2]
