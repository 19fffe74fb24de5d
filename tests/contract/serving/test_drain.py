"""A server that is told to end: who is in is answered, who comes is sent away."""

import asyncio
import json

import httpx
from tests.contract.serving.held import Held, post, until
from tests.contract.serving.served import ANSWER, serving

from visionthink.engines import ScriptedEngine
from visionthink.serving import ServingLimits
from visionthink.serving.drain import drain_of


async def test_who_is_in_is_answered_and_who_comes_is_sent_away() -> None:
    engine = Held()
    with serving(engine, ServingLimits(first_byte_s=0.05)) as served:
        drain = drain_of(served.app)
        async with httpx.AsyncClient(timeout=30, base_url=served.url) as client:
            whole = asyncio.create_task(post(client, served))
            stream = asyncio.create_task(post(client, served, stream=True))
            await until(lambda: len(engine.asked) == 2)
            assert (await client.get("/v2/health/ready")).status_code == 200
            ending = asyncio.create_task(drain.finish(30.0))
            await until(lambda: drain.is_draining)
            for path in ("/v2/health/ready", "/v2/models/tiny-v1/ready"):
                assert (await client.get(path)).status_code == 503
            for path in ("/v2/health/live", "/metrics"):
                assert (await client.get(path)).status_code == 200
            refused = await post(client, served)
            assert not ending.done()
            engine.let_go()
            engine.let_go()
            assert (await whole).json()["choices"][0]["message"]["content"] == ANSWER
            assert (await whole).headers["connection"] == "close"
            assert (await stream).text.endswith("data: [DONE]\n\n") and "A7" in (await stream).text
            assert await ending is True
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
    assert refused.headers["retry-after"] == "1" and refused.headers["connection"] == "close"
    assert len(engine.asked) == 2


async def test_what_outlives_the_grace_period_is_told_so() -> None:
    engine = Held()
    with serving(engine, ServingLimits(max_in_flight=2, first_byte_s=0.05)) as served:
        drain = drain_of(served.app)
        async with httpx.AsyncClient(timeout=30) as client:
            whole = asyncio.create_task(post(client, served))
            stream = asyncio.create_task(post(client, served, stream=True))
            await until(lambda: len(engine.asked) == 2)
            waiting = asyncio.create_task(post(client, served))
            await until(lambda: served.count("visionthink_serve_num_queued") == 1)
            # As a signal does it: on the loop that serves.
            loop = engine._waiting[0][0]
            ended = asyncio.run_coroutine_threadsafe(drain.finish(0.1), loop)
            assert await asyncio.wrap_future(ended) is False
            for task in (whole, waiting):
                got = await task
                assert (got.status_code, got.json()["error"]["code"]) == (503, "shutting_down")
            lines = (await stream).text.strip().split("\n\n")
        assert lines[-1] == "data: [DONE]"
        assert json.loads(lines[-2].removeprefix("data: "))["error"]["code"] == "shutting_down"
    assert engine.num_cancelled == 2 and drain.num_open == 0


async def test_a_server_without_requests_is_drained_at_once() -> None:
    with serving(ScriptedEngine(lambda request: "hi")) as served:
        assert await drain_of(served.app).finish(0.0) is True
