"""Whoever asks while the worker is busy joins its next round; a round begins when the callers' loop is at rest."""

import asyncio
from threading import Event

import pytest

from visionthink.engines.collector import Collector, Job
from visionthink.errors import EngineError


class Worker:
    """Doubles numbers; holds every round until `open` is set, and says when it has begun one."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.begun, self.open = Event(), Event()
        self.open.set()
        self.collector: Collector[int, int] = Collector(self.work, name="test")

    def work(self, jobs: list[Job[int, int]]) -> None:
        self.rounds.append([job.item for job in jobs])
        self.begun.set()
        assert self.open.wait(10)
        self.collector.finish((job, job.item * 2) for job in jobs)

    async def begin(self, item: int) -> "asyncio.Task[int]":
        """Hand an item over and return once the worker holds it."""
        self.begun.clear()
        self.open.clear()
        task = asyncio.create_task(self.collector.submit(item))
        assert await asyncio.to_thread(self.begun.wait, 10)
        return task


async def test_items_that_come_in_together_share_a_round() -> None:
    worker = Worker()
    assert await asyncio.gather(*map(worker.collector.submit, range(50))) == [n * 2 for n in range(50)]
    assert worker.rounds == [list(range(50))]
    worker.collector.close()


async def test_a_round_waits_for_what_follows_from_the_results_of_the_last_one() -> None:
    """Each chain submits its next item some turns of the loop after its last result, and all stay together."""
    worker = Worker()

    async def chain(start: int) -> None:
        for step in range(4):
            for _ in range(start % 3):
                await asyncio.sleep(0)
            await worker.collector.submit(10 * start + step)

    await asyncio.gather(*map(chain, range(9)))
    assert [len(items) for items in worker.rounds] == [9, 9, 9, 9]
    worker.collector.close()


async def test_callers_who_wait_share_the_next_round() -> None:
    worker = Worker()
    first = await worker.begin(1)
    others = [asyncio.create_task(worker.collector.submit(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    worker.open.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert worker.rounds == [[1], [2, 3, 4]]
    worker.collector.close()


async def test_a_caller_who_gave_up_costs_no_round() -> None:
    worker = Worker()
    first = await worker.begin(1)
    second = asyncio.create_task(worker.collector.submit(2))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    worker.open.set()
    assert await first == 2
    assert await worker.collector.submit(3) == 6
    assert worker.rounds == [[1], [3]]
    worker.collector.close()


async def test_work_can_see_that_a_caller_gave_up() -> None:
    seen: list[bool] = []
    begun, go_on = Event(), Event()

    def work(jobs: list[Job[int, int]]) -> None:
        begun.set()
        assert go_on.wait(10)
        seen.extend(job.is_cancelled for job in jobs)

    collector = Collector(work, name="test")
    task = asyncio.create_task(collector.submit(1))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    collector.close()
    await asyncio.to_thread(collector.join)
    assert seen == [True]


async def test_every_caller_gets_the_error_of_the_work_and_the_next_round_runs() -> None:
    fails = True

    def work(jobs: list[Job[int, int]]) -> None:
        if fails:
            raise RuntimeError("no")
        collector.finish((job, 0) for job in jobs)

    collector: Collector[int, int] = Collector(work, name="test")
    ends = await asyncio.gather(collector.submit(1), collector.submit(2), return_exceptions=True)
    assert [str(end) for end in ends] == ["no", "no"]
    fails = False
    assert await collector.submit(3) == 0
    collector.close()


async def test_close_tells_whoever_waits_and_may_be_called_twice() -> None:
    """A cancellation would be taken for the caller's own."""
    worker = Worker()
    first = await worker.begin(1)
    second = asyncio.create_task(worker.collector.submit(2))
    await asyncio.sleep(0)
    worker.collector.close()
    worker.collector.close()
    with pytest.raises(EngineError, match="closed"):
        await second
    worker.open.set()
    assert await first == 2
    with pytest.raises(EngineError, match="closed"):
        await worker.collector.submit(3)


def test_a_loop_that_ends_while_it_waits_leaves_nothing_in_the_way_of_the_next() -> None:
    worker = Worker()

    async def give_up() -> None:
        task = asyncio.create_task(worker.collector.submit(1))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(give_up())
    assert asyncio.run(worker.collector.submit(2)) == 4
    worker.collector.close()
