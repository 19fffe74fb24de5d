"""The served loop as OpenAI's own client sees it, over real HTTP."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine
from http.client import HTTPConnection

import httpx
import openai
import pytest
from PIL import Image
from tests.contract.serving.served import (
    ANSWER,
    CALL,
    PICTURE,
    Served,
    adaptive,
    ask,
    chunks,
    data_url,
    question,
    serving,
    twice,
)
from tests.unit.engines.conversation import RULE, noise

from visionthink.core.episode import BackendFailed, EpisodeSpec, Event, FinishReason, ModelReply
from visionthink.core.geometry import Size
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ResizeImage, ToolBox
from visionthink.engines import Request, Sampling, ScriptedEngine, ScriptLine
from visionthink.episodes.driver import run_episode
from visionthink.serving import ServingLimits


async def test_a_question_is_answered_with_usage_and_trace() -> None:
    engine = ScriptedEngine(twice)
    with serving(engine) as served:
        got = await ask(served)
    assert got.choices[0].message.content == ANSWER
    assert (got.model, got.object, got.created) == ("tiny-v1", "chat.completion", 1700000000)
    assert got.choices[0].finish_reason == "stop"
    trace = adaptive(got)
    assert (trace["outcome"], trace["answer"], trace["policy"]) == ("answered", "A7", "auto")
    assert (trace["resized"], trace["turns"], trace["visual_tokens"]) == (True, 2, 2 * 1 + 4 * 2)
    assert isinstance(trace["views"], list) and [view["width"] for view in trace["views"]] == [56, 112]
    prompts = [len(request.messages) for request in engine.requests]
    assert prompts == [1, 3]


async def test_usage_is_the_sum_over_the_turns() -> None:
    script = [
        ModelReply(text=text, finish_reason=FinishReason.STOP, num_prompt_tokens=prompt, num_reply_tokens=reply)
        for text, prompt, reply in ((CALL, 100, 20), (ANSWER, 300, 7))
    ]
    with serving(ScriptedEngine(script)) as served:
        got = await ask(served)
    assert got.usage is not None
    assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.total_tokens) == (400, 27, 427)


async def test_a_stream_carries_the_final_reply_only() -> None:
    with serving(ScriptedEngine(twice)) as served:
        got = await chunks(served)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in got) == ANSWER
    assert got[0].choices[0].delta.role == "assistant"
    assert len(got) > 3 and {chunk.id for chunk in got} == {got[0].id}
    assert [chunk.choices[0].finish_reason for chunk in got if chunk.choices[0].finish_reason] == ["stop"]
    assert adaptive(got[-1])["resized"] is True
    assert all(chunk.usage is None for chunk in got)


async def test_a_stream_ends_with_the_usage_when_asked() -> None:
    with serving(ScriptedEngine(twice)) as served:
        *_, last_choice, usage = await chunks(served, stream_options={"include_usage": True})
    assert usage.choices == [] and usage.usage is not None and usage.usage.total_tokens > 20
    assert last_choice.choices[0].finish_reason == "stop" and last_choice.usage is None


@pytest.mark.parametrize(
    ("policy", "width", "turns"), [("auto", [56, 112], 2), ("always_low", [56], 1), ("always_high", [112], 1)]
)
async def test_a_policy_fixes_the_view(policy: str, width: list[int], turns: int) -> None:
    with serving(ScriptedEngine(twice)) as served:
        got = adaptive(await ask(served, extra_body={"adaptive": {"policy": policy}}))
    assert isinstance(got["views"], list)
    assert [view["width"] for view in got["views"]] == width
    assert (got["policy"], got["turns"]) == (policy, turns)


async def test_what_is_served_is_what_the_driver_asks_in_training() -> None:
    engine, trained = ScriptedEngine(twice), ScriptedEngine(twice)
    with serving(engine) as served:
        await ask(served, seed=3, temperature=0.7, top_p=0.8)
    spec = EpisodeSpec(
        question="which code is printed ?",
        original=Size(width=112, height=56),
        protocol=get_protocol("compact-efficient-v1"),
        toolbox=ToolBox([ResizeImage()]),
        rule=RULE,
    )
    sampling = Sampling(seed=3, temperature=0.7, top_p=0.8, max_tokens=64)
    await run_episode(trained, spec, PICTURE, sampling)
    assert [(r.messages, r.sampling) for r in engine.requests] == [(r.messages, r.sampling) for r in trained.requests]
    assert all(r.picture.tobytes() == PICTURE.tobytes() for r in engine.requests)


async def test_a_request_without_settings_is_answered_greedily() -> None:
    engine = ScriptedEngine(twice)
    with serving(engine) as served:
        await ask(served)
    assert {request.sampling for request in engine.requests} == {Sampling(temperature=0.0, max_tokens=64)}


async def test_a_request_that_allows_more_tokens_than_the_server_gets_the_servers_bound() -> None:
    engine = ScriptedEngine(lambda request: "word " * 100)
    with serving(engine) as served:
        got = await ask(served, max_tokens=100_000)
    assert [request.sampling.max_tokens for request in engine.requests] == [64]
    assert got.choices[0].finish_reason == "length"


async def test_a_turned_photograph_is_seen_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with serving(ScriptedEngine(twice)) as served:
        got = adaptive(await ask(served, messages=[question(data_url(PICTURE, exif=exif))]))
    assert isinstance(got["views"], list)
    assert [(view["width"], view["height"]) for view in got["views"]] == [(28, 56), (56, 112)]


async def test_a_cut_off_reply_says_length() -> None:
    with serving(ScriptedEngine(lambda request: "word " * 100)) as served:
        got = await ask(served, max_tokens=5)
    assert got.choices[0].finish_reason == "length"
    assert adaptive(got)["outcome"] == "truncated" and adaptive(got)["answer"] is None


async def test_models_are_listed() -> None:
    with serving(ScriptedEngine(twice)) as served:
        async with served.client() as client:
            assert [model.id async for model in client.models.list()] == ["tiny-v1"]
            assert (await client.models.retrieve("tiny-v1")).created == 1700000000
            with pytest.raises(openai.NotFoundError, match="'other' is not served here"):
                await client.models.retrieve("other")


@pytest.mark.parametrize(
    ("options", "status", "match"),
    [
        ({"model": "gpt-4"}, 404, "'tiny-v1' is"),
        ({"messages": [{"role": "user", "content": " "}]}, 400, "no question"),
        ({"messages": [question("http://example.org/cat.png")]}, 400, "not fetched"),
        ({"messages": [question("data:image/png;base64,aGVsbG8=")]}, 400, "no picture"),
        ({"messages": [question(text="<image> and <image> ?")]}, 400, "<image>"),
        ({"extra_body": {"best_of": 2}}, 400, "best_of is not supported"),
        ({"messages": [question(data_url(noise(300, 300)))]}, 413, "300x300"),
        ({"messages": [question(text="x" * 600_000)]}, 413, "larger than"),
        ({"messages": []}, 422, "messages"),
        ({"extra_body": {"adaptive": {"policy": "never"}}}, 422, "policy"),
    ],
)  # fmt: skip
async def test_a_bad_request_is_an_openai_error(options: dict[str, object], status: int, match: str) -> None:
    limits = ServingLimits(max_tokens=64, max_picture_pixels=40_000, max_body_bytes=500_000)
    with serving(ScriptedEngine(twice), limits) as served:
        with pytest.raises(openai.APIStatusError, match=match) as caught:
            await ask(served, **options)
        rejected = served.count("visionthink_serve_requests_total", outcome="rejected")
    assert caught.value.status_code == status
    assert caught.value.type == "invalid_request_error" and caught.value.code
    assert rejected == 1


async def test_a_failed_engine_is_a_503_in_both_modes() -> None:
    with serving(ScriptedEngine(lambda request: BackendFailed(error="no power"))) as served:
        with pytest.raises(openai.InternalServerError, match="no power") as caught:
            await ask(served)
        with pytest.raises(openai.APIError, match="no power"):
            await chunks(served)
        assert served.count("visionthink_serve_requests_total", outcome="error") == 2
    assert caught.value.status_code == 503 and caught.value.response.headers["retry-after"] == "1"


class Stuck(ScriptedEngine):
    """Never answers; tells when it was asked and when it was left alone."""

    def __init__(self) -> None:
        super().__init__([])
        self.asked, self.left, self.is_closed = asyncio.Event(), asyncio.Event(), False

    async def reply(self, request: Request) -> Event:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        raise AssertionError("nothing ever happens")

    async def aclose(self) -> None:
        self.is_closed = True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_slow_engine_is_a_504_in_both_modes() -> None:
    engine = Stuck()
    with serving(engine, ServingLimits(timeout_s=0.1)) as served:
        with pytest.raises(openai.InternalServerError, match=r"within 0\.1 s") as caught:
            await ask(served)
        with pytest.raises(openai.APIError, match=r"within 0\.1 s"):
            await chunks(served)
        assert served.count("visionthink_serve_requests_total", outcome="timeout") == 2
    assert caught.value.status_code == 504
    assert engine.left.is_set() and engine.is_closed


async def test_a_stream_gives_signs_of_life_while_it_works() -> None:
    with serving(Stuck(), ServingLimits(timeout_s=0.5, first_byte_s=0.01, sign_of_life_s=0.02)) as served:
        async with served.client() as client:
            raw = await client.chat.completions.with_raw_response.create(
                model="tiny-v1", messages=[question()], stream=True
            )
            lines = [line async for line in raw.http_response.aiter_lines() if line]
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert lines.count(": working") > 3
    assert lines[-1] == "data: [DONE]" and '"code": "timeout"' in lines[-2]


async def test_requests_beyond_the_limit_are_told_to_come_back() -> None:
    engine = Stuck()
    with serving(engine, ServingLimits(max_in_flight=1, max_queued=0, timeout_s=5.0)) as served:
        first = asyncio.create_task(ask(served))
        await until(engine.asked.is_set)
        with pytest.raises(openai.RateLimitError, match="in flight") as caught:
            await ask(served)
        first.cancel()
        await until(engine.left.is_set)
        engine.asked.clear()
        again = asyncio.create_task(ask(served))
        await until(engine.asked.is_set)
        again.cancel()
    assert caught.value.response.headers["retry-after"] == "1"


def test_a_body_of_unknown_length_is_read_up_to_the_limit() -> None:
    with serving(ScriptedEngine(twice), ServingLimits(max_body_bytes=10_000)) as served:
        connection = HTTPConnection(served.url.removeprefix("http://"), timeout=20)
        connection.request("POST", "/v1/chat/completions", body=iter([b" " * 4000] * 3), encode_chunked=True)
        response = connection.getresponse()
        body = response.read()
        connection.close()
    assert response.status == 413 and b"larger than 10000 bytes" in body


@pytest.mark.parametrize("call", [ask, chunks])
async def test_a_client_that_hangs_up_stops_its_episode(
    call: Callable[[Served], Coroutine[object, object, object]],
) -> None:
    engine = Stuck()
    with serving(engine) as served:
        task = asyncio.ensure_future(call(served))
        await until(engine.asked.is_set)
        task.cancel()
        await until(engine.left.is_set)
        await until(lambda: served.count("visionthink_serve_requests_total", outcome="abandoned") == 1)


async def test_a_bug_is_a_500_with_the_request_id() -> None:
    def broken(request: Request) -> ScriptLine:
        raise LookupError("secret")

    with serving(ScriptedEngine(broken)) as served:
        async with served.client() as client:
            with pytest.raises(openai.InternalServerError, match="req-7") as caught:
                await client.chat.completions.create(
                    model="tiny-v1", messages=[question()], extra_headers={"x-request-id": "req-7"}
                )
    assert caught.value.status_code == 500 and "secret" not in str(caught.value)
    assert caught.value.response.headers["x-request-id"] == "req-7"


@pytest.mark.parametrize(
    ("given", "want"), [("abc-1.2_3", "abc-1.2_3"), ("bad id", r"[0-9a-f]{32}"), ("x" * 200, r"[0-9a-f]{32}")]
)
async def test_a_request_keeps_its_id_or_gets_one(given: str, want: str) -> None:
    with serving(ScriptedEngine(twice)) as served:
        async with served.client() as client:
            raw = await client.chat.completions.with_raw_response.create(
                model="tiny-v1", messages=[question()], extra_headers={"x-request-id": given}
            )
    request_id = raw.headers["x-request-id"]
    assert re.fullmatch(want, request_id)
    assert raw.parse().id == f"chatcmpl-{request_id}"


async def get(served: Served, path: str) -> str:
    async with served.client() as client:
        client.base_url = served.url
        return await client.get(path, cast_to=str)


async def test_health_and_metrics_answer() -> None:
    with serving(ScriptedEngine(twice)) as served:
        assert await get(served, "/v2/health/live") == '{"live":true}'
        assert await get(served, "/v2/health/ready") == '{"ready":true}'
        assert await get(served, "/healthz") == "ok"
        await ask(served)
        await chunks(served, extra_body={"adaptive": {"policy": "always_low"}})
        scrape = await get(served, "/metrics")
    assert 'visionthink_serve_requests_total{outcome="answered"} 2.0' in scrape
    assert "visionthink_serve_resizes_total 1.0" in scrape
    assert "visionthink_serve_visual_tokens_sum 12.0" in scrape
    assert "visionthink_serve_turns_count 2.0" in scrape
    assert "visionthink_serve_latency_seconds_count 2.0" in scrape


async def test_an_engine_that_is_not_ready_makes_the_app_not_ready() -> None:
    class Starting(ScriptedEngine):
        is_up = True

        async def is_ready(self) -> bool:
            return self.is_up

    engine = Starting(twice)
    with serving(engine) as served:
        engine.is_up = False
        async with httpx.AsyncClient(timeout=20) as client, asyncio.timeout(10):
            while (await client.get(f"{served.url}/v2/health/ready")).status_code != 503:
                await asyncio.sleep(0.05)
        assert await get(served, "/v2/health/live") == '{"live":true}'


async def test_an_unknown_route_is_an_openai_error() -> None:
    with serving(ScriptedEngine(twice)) as served, pytest.raises(openai.NotFoundError, match="GET /v1/files"):
        await get(served, "/v1/files")


def test_the_app_is_importable_without_kserve_and_torch() -> None:
    code = (
        "import sys; sys.modules['kserve'] = None; import visionthink.serving; "
        "print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


async def test_a_large_photograph_is_taken() -> None:
    with serving(ScriptedEngine(twice)) as served:
        got = await ask(served, messages=[question(data_url(noise(1600, 1200)))])
    assert adaptive(got)["visual_tokens"] == 2 * 2 + 5 * 3
