import asyncio

import pytest

from visionthink.serving.api_error import ApiError
from visionthink.serving.deadline import Deadline
from visionthink.serving.drain import shutting_down


async def late(deadline: Deadline, error: ApiError | None = None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        async with asyncio.timeout(10), deadline.kept(error):
            await asyncio.Event().wait()
    return caught.value


async def test_what_takes_too_long_is_a_504() -> None:
    error = await late(Deadline(0.01))
    assert (error.status, error.code) == (504, "timeout") and "0.01 s" in str(error)


async def test_another_error_may_be_told() -> None:
    assert (await late(Deadline(0.01), ApiError(408, "slow", code="slow"))).status == 408


async def test_two_blocks_share_one_deadline() -> None:
    now_s = 0.0
    deadline = Deadline(5.0, clock=lambda: now_s)
    async with deadline.kept():
        now_s = 4.0
    assert deadline.remaining_s == 1.0
    now_s = 9.0
    assert deadline.remaining_s == 0.0 and (await late(deadline)).status == 504
    deadline.restart()
    assert deadline.remaining_s == 5.0


async def test_a_cut_ends_what_runs_and_what_is_begun_later() -> None:
    deadline = Deadline(60.0)
    waiting = asyncio.create_task(late(deadline))
    await asyncio.sleep(0)
    deadline.cut(shutting_down())
    assert (await waiting).code == "shutting_down"
    assert (await late(deadline)).code == "shutting_down" and deadline.remaining_s == 0.0


async def test_what_comes_off_in_time_is_let_be() -> None:
    deadline = Deadline(60.0)
    async with deadline.kept():
        await asyncio.sleep(0)
    deadline.cut(shutting_down())
