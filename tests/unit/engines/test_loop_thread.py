"""Work handed to the thread's loop comes back to any caller, and stops when the caller stops."""

import asyncio

import pytest

from visionthink.engines.loop_thread import LoopThread


async def loop_id() -> int:
    return id(asyncio.get_running_loop())


def test_work_of_every_caller_runs_in_one_loop() -> None:
    thread = LoopThread(name="test")
    seen = {asyncio.run(thread.run(loop_id())) for _ in range(3)}
    asyncio.run(thread.aclose())
    assert len(seen) == 1


async def test_an_error_is_raised_where_the_work_is_awaited() -> None:
    async def fail() -> None:
        raise LookupError("gone")

    thread = LoopThread(name="test")
    with pytest.raises(LookupError, match="gone"):
        await thread.run(fail())
    await thread.aclose()


async def test_cancelling_the_caller_cancels_the_work() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()
    here = asyncio.get_running_loop()

    async def wait() -> None:
        here.call_soon_threadsafe(begun.set)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            here.call_soon_threadsafe(cancelled.set)
            raise

    thread = LoopThread(name="test")
    task = asyncio.create_task(thread.run(wait()))
    await begun.wait()
    task.cancel()
    async with asyncio.timeout(10):
        await cancelled.wait()
    await thread.aclose()


async def test_closing_ends_what_still_runs_and_may_be_done_twice() -> None:
    begun = asyncio.Event()
    here = asyncio.get_running_loop()

    async def wait() -> None:
        here.call_soon_threadsafe(begun.set)
        await asyncio.Event().wait()

    thread = LoopThread(name="test")
    task = asyncio.create_task(thread.run(wait()))
    await begun.wait()
    await thread.aclose()
    await thread.aclose()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await thread.run(loop_id())
    await thread.aclose()
