"""The queue before the engine: bounded, fair, and left at once by who no longer waits."""

import asyncio
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest
from tests.contract.serving.held import BODY, Held, post, until
from tests.contract.serving.served import Served, serving
from tests.contract.serving.test_caller import entry, keys_in

from visionthink.serving import ServingLimits

Asking: TypeAlias = asyncio.Task[httpx.Response]
QUEUED = "visionthink_serve_num_queued"
ONE = ServingLimits(max_in_flight=1, max_queued=8, max_wait_s=20.0, timeout_s=20.0)


async def begin(client: httpx.AsyncClient, served: Served, num: int, **fields: str) -> list[Asking]:
    """That many questions, one behind the other: each has its place before the next one comes."""
    tasks = []
    before = served.count("visionthink_serve_num_in_flight")
    for number in range(num):
        tasks.append(asyncio.create_task(post(client, served, f"{fields.get('key', '')} {number}".strip(), **fields)))
        await until(lambda want=before + number + 1: served.count("visionthink_serve_num_in_flight") == want)  # type: ignore[misc]
    return tasks


async def test_questions_beyond_the_engines_room_wait_and_are_answered_in_order() -> None:
    engine = Held()
    with serving(engine, ONE) as served:
        async with httpx.AsyncClient(timeout=30) as client:
            tasks = await begin(client, served, 4)
            await until(lambda: served.count(QUEUED) == 3)
            for number in range(4):
                await until(lambda want=number + 1: len(engine.asked) == want)  # type: ignore[misc]
                engine.let_go()
            assert [(await task).status_code for task in tasks] == [200] * 4
        assert served.count("visionthink_serve_queue_seconds_count") == 4
    assert engine.asked == ["0", "1", "2", "3"]


async def test_keys_take_turns(tmp_path: Path) -> None:
    engine = Held()
    with serving(engine, ONE, keys=keys_in(tmp_path, entry("alice"), entry("bob"))) as served:
        async with httpx.AsyncClient(timeout=30) as client:
            tasks = await begin(client, served, 4, key="sk-alice")
            tasks += await begin(client, served, 2, key="sk-bob")
            await until(lambda: served.count(QUEUED) == 5)
            for number in range(6):
                await until(lambda want=number + 1: len(engine.asked) == want)  # type: ignore[misc]
                engine.let_go()
            assert [(await task).status_code for task in tasks] == [200] * 6
    want = ["sk-alice 0", "sk-alice 1", "sk-bob 0", "sk-alice 2", "sk-bob 1", "sk-alice 3"]
    assert engine.asked == want


async def test_no_key_keeps_another_out_by_filling_the_queue(tmp_path: Path) -> None:
    engine = Held()
    limits = ServingLimits(max_in_flight=1, max_queued=3, max_wait_s=20.0, timeout_s=20.0)
    with serving(engine, limits, keys=keys_in(tmp_path, entry("alice"), entry("bob"))) as served:
        async with httpx.AsyncClient(timeout=30) as client:
            many = await begin(client, served, 4, key="sk-alice")
            await until(lambda: served.count(QUEUED) == 3)
            assert (await post(client, served, key="sk-alice")).status_code == 429
            other = asyncio.create_task(post(client, served, "bob's", key="sk-bob"))
            dropped = await many[3]
            for number in range(4):
                await until(lambda want=number + 1: len(engine.asked) == want)  # type: ignore[misc]
                engine.let_go()
            assert (await other).status_code == 200
            assert [(await task).status_code for task in many[:3]] == [200] * 3
        await until(lambda: served.count("visionthink_serve_num_in_flight") == 0)
    assert (dropped.status_code, dropped.json()["error"]["code"]) == (429, "overloaded")
    assert engine.asked == ["sk-alice 0", "sk-alice 1", "bob's", "sk-alice 2"]


async def test_who_waits_too_long_is_told_to_come_back() -> None:
    engine = Held()
    limits = ServingLimits(max_in_flight=1, max_queued=8, max_wait_s=0.1, timeout_s=20.0)
    with serving(engine, limits) as served:
        async with httpx.AsyncClient(timeout=30) as client:
            (first,) = await begin(client, served, 1)
            await until(lambda: len(engine.asked) == 1)
            late = await post(client, served)
            assert served.count(QUEUED) == 0
            engine.let_go()
            assert (await first).status_code == 200
            assert served.count("visionthink_serve_rejections_total", reason="overloaded") == 1
    assert (late.status_code, late.json()["error"]["code"]) == (429, "overloaded") and late.headers[
        "retry-after"
    ] == "1"
    assert "no room for 0.1 s" in late.json()["error"]["message"] and len(engine.asked) == 1


async def test_a_full_queue_is_a_429_at_once() -> None:
    engine = Held()
    with serving(engine, ServingLimits(max_in_flight=1, max_queued=2, max_wait_s=20.0, timeout_s=20.0)) as served:
        async with httpx.AsyncClient(timeout=30) as client:
            tasks = await begin(client, served, 3)
            refused = await post(client, served)
            for number in range(3):
                await until(lambda want=number + 1: len(engine.asked) == want)  # type: ignore[misc]
                engine.let_go()
            assert [(await task).status_code for task in tasks] == [200] * 3
    assert refused.status_code == 429 and "3 requests are in flight" in refused.json()["error"]["message"]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_client_that_leaves_gives_its_place_to_the_next(waits: bool) -> None:
    """Whoever leaves, the one that is asked or one that waits, costs the engine nothing from then on."""
    engine = Held()
    with serving(engine, ONE) as served:
        _, gone = await asyncio.open_connection("127.0.0.1", httpx.URL(served.url).port)
        async with httpx.AsyncClient(timeout=30) as client:
            first = asyncio.create_task(post(client, served, "first")) if waits else None
            if first is not None:
                await until(lambda: len(engine.asked) == 1)
            gone.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
            )
            await until(lambda: served.count(QUEUED) == 1 if waits else len(engine.asked) == 1)
            last = asyncio.create_task(post(client, served, "last"))
            await until(lambda: served.count(QUEUED) == (2 if waits else 1))
            gone.close()
            await until(lambda: served.count("visionthink_serve_requests_total", outcome="abandoned") == 1)
            if first is not None:
                await until(lambda: served.count(QUEUED) == 1)
                engine.let_go()
                assert (await first).status_code == 200
            else:
                await until(lambda: engine.num_cancelled == 1)
                engine._waiting.pop(0)
            await until(lambda: engine.asked[-1] == "last")
            engine.let_go()
            assert (await last).status_code == 200
        assert served.count("visionthink_serve_num_in_flight") == 0
    assert engine.asked == (["first", "last"] if waits else ["hello", "last"])


async def test_a_wait_counts_against_the_deadline() -> None:
    engine = Held()
    with serving(engine, ServingLimits(max_in_flight=1, max_queued=8, max_wait_s=20.0, timeout_s=0.3)) as served:
        async with httpx.AsyncClient(timeout=30) as client:
            got = await asyncio.gather(post(client, served), post(client, served))
    assert [response.status_code for response in got] == [504, 504]
    assert 1 <= len(engine.asked) <= 2 and engine.num_cancelled == len(engine.asked)
