"""A stream as OpenAI's own client sees it: text while it is written, and an HTTP status for what fails before that."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable

import httpx
import openai
import pytest
from PIL import Image
from tests.contract.serving.served import ANSWER, CALL, adaptive, ask, chunks, data_url, question, serving, twice
from tests.contract.serving.test_app import Stuck, until
from tests.fakes.streaming import FullEngine, StreamingEngine
from tests.unit.engines.conversation import noise

from visionthink.core.episode import BackendFailed, Event, FinishReason, ModelReply
from visionthink.core.geometry import View
from visionthink.engines import Request, ScriptedEngine, ScriptLine
from visionthink.serving import ServingLimits

LIMITS = ServingLimits(max_tokens=64, first_byte_s=0.05, sign_of_life_s=0.05)


class Held(StreamingEngine):
    """Writes as many pieces as it is allowed."""

    num_allowed = 0

    async def between(self, request: Request) -> None:
        while self.num_allowed < 1:
            await asyncio.sleep(0.001)
        self.num_allowed -= 1


def text_of(got: list[openai.types.chat.ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in got if chunk.choices)


async def test_a_stream_says_what_a_whole_response_says() -> None:
    with serving(StreamingEngine(twice), LIMITS) as served:
        got = await chunks(served, stream_options={"include_usage": True})
        whole = await ask(served)
    assert text_of(got) == whole.choices[0].message.content == ANSWER
    assert len(got) > 10, "three letters at a time"
    assert adaptive(got[-2]) == adaptive(whole) and got[-1].usage == whole.usage


async def test_the_final_answer_flows_while_it_is_written() -> None:
    engine = Held(twice)
    with serving(engine, LIMITS) as served:
        async with served.client() as client:
            stream = await client.chat.completions.create(model="tiny-v1", messages=[question()], stream=True)
            assert (await anext(stream)).choices[0].delta.role == "assistant"
            engine.num_allowed = len(CALL) // 3 + 1  # the call is never seen
            await until(lambda: len(engine.requests) == 2)
            assert engine.num_allowed == 0
            engine.num_allowed = len("<think>I see.</think><answer>") // 3 + 1
            seen = ""
            while "<answer>" not in seen:
                seen += (await anext(stream)).choices[0].delta.content or ""
            assert ANSWER.startswith(seen) and seen != ANSWER
            engine.num_allowed = 100
            rest = [chunk async for chunk in stream]
    assert seen + text_of(rest) == ANSWER and adaptive(rest[-1])["turns"] == 2


async def test_a_direct_answer_flows_from_its_tag_on() -> None:
    engine = Held(lambda request: ANSWER)
    with serving(engine, LIMITS) as served:
        async with served.client() as client:
            stream = await client.chat.completions.create(model="tiny-v1", messages=[question()], stream=True)
            await anext(stream)
            engine.num_allowed = len("<think>I see.</think><answer>") // 3 + 1
            assert (await anext(stream)).choices[0].delta.content == ANSWER[:30]
            engine.num_allowed = 100
            assert ANSWER[:30] + text_of([chunk async for chunk in stream]) == ANSWER


async def test_with_a_fixed_view_every_word_flows() -> None:
    engine = Held(lambda request: "plain words")
    with serving(engine, LIMITS) as served:
        async with served.client() as client:
            stream = await client.chat.completions.create(
                model="tiny-v1", messages=[question()], stream=True, extra_body={"adaptive": {"policy": "always_low"}}
            )
            await anext(stream)
            engine.num_allowed = 1
            assert (await anext(stream)).choices[0].delta.content == "pla"
            engine.num_allowed = 100
            assert "pla" + text_of([chunk async for chunk in stream]) == "plain words"


@pytest.mark.parametrize(
    ("script", "want"),
    [
        ([CALL, CALL, ANSWER], "<think>too small</think>" + ANSWER),
        ([CALL, CALL, CALL], "<think>too small</think>" + CALL),
        (["words without a tag"], "words without a tag"),
        (["<think>a", "unused"], "<think>a"),
        ([CALL, "closer < words"], "closer < words"),
    ],
)
async def test_odd_episodes_are_told_to_their_end(script: list[ScriptLine], want: str) -> None:
    with serving(StreamingEngine(script), LIMITS) as served:
        got = await chunks(served)
    assert text_of(got) == want and got[-1].choices[0].finish_reason == "stop"


async def test_a_client_that_leaves_ends_the_engines_stream() -> None:
    engine = Held(twice)
    with serving(engine, LIMITS) as served:
        async with served.client() as client:
            stream = await client.chat.completions.create(model="tiny-v1", messages=[question()], stream=True)
            await anext(stream)
            assert served.count("visionthink_serve_num_in_flight") == 1
            await stream.close()
        await until(lambda: engine.num_closed == 1)
        await until(lambda: served.count("visionthink_serve_requests_total", outcome="abandoned") == 1)
        await until(lambda: served.count("visionthink_serve_num_in_flight") == 0)
        assert served.count("visionthink_serve_held_bytes") == 0


async def test_a_failure_in_the_middle_is_an_error_in_the_stream() -> None:
    class Breaking(Held):
        async def between(self, request: Request) -> None:
            if self.num_allowed == 0:
                raise LookupError("secret")
            self.num_allowed -= 1

    engine = Breaking(lambda request: "plain words")
    engine.num_allowed = 2
    with serving(engine, LIMITS) as served:
        async with served.client() as client:
            stream = await client.chat.completions.create(
                model="tiny-v1", messages=[question()], stream=True, extra_body={"adaptive": {"policy": "always_low"}}
            )
            seen = ""
            with pytest.raises(openai.APIError, match="internal error") as caught:
                async for chunk in stream:
                    seen += chunk.choices[0].delta.content or ""
        assert served.count("visionthink_serve_requests_total", outcome="error") == 1
    assert seen == "plain " and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("engine", "status", "code"),
    [
        (ScriptedEngine(lambda request: BackendFailed(error="no power")), 503, "engine_failed"),
        (ScriptedEngine(lambda request: BackendFailed(error="bad key", retryable=False)), 502, "engine_refused"),
        (FullEngine([]), 400, "context_length_exceeded"),
    ],
)
async def test_what_fails_before_the_first_word_has_its_status(engine: ScriptedEngine, status: int, code: str) -> None:
    with serving(engine) as served, pytest.raises(openai.APIStatusError) as caught:
        await chunks(served)
    assert (caught.value.status_code, caught.value.code) == (status, code)


async def test_an_overload_is_a_429_for_a_stream_as_well() -> None:
    engine = Stuck()
    with serving(engine, ServingLimits(max_in_flight=1, max_queued=0, timeout_s=5.0)) as served:
        first = asyncio.create_task(ask(served))
        await until(engine.asked.is_set)
        with pytest.raises(openai.RateLimitError, match="in flight") as caught:
            await chunks(served)
        first.cancel()
        await until(engine.left.is_set)
    assert caught.value.response.headers["retry-after"] == "1"


async def test_a_stream_without_a_reader_leaves_its_place() -> None:
    """A client that sends its request and closes at once."""
    engine = Stuck()
    with serving(engine, LIMITS) as served:
        body = json.dumps({"model": "tiny-v1", "messages": [question()], "stream": True}).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(served.url).port)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        await until(engine.asked.is_set)
        writer.close()
        await until(engine.left.is_set)
        await until(lambda: served.count("visionthink_serve_num_in_flight") == 0)
    assert served.count("visionthink_serve_requests_total", outcome="abandoned") == 1


async def test_a_stream_that_ends_without_its_event_is_a_failure() -> None:
    class Silent(StreamingEngine):
        async def stream(self, request: Request):  # type: ignore[no-untyped-def]
            yield "<answer>"

    with serving(Silent([]), LIMITS) as served, pytest.raises(openai.APIError, match="without saying how it ended"):
        await chunks(served)


def counted(text: str, tokens: int) -> ModelReply:
    return ModelReply(text=text, finish_reason=FinishReason.STOP, num_prompt_tokens=10, num_reply_tokens=tokens)


async def test_a_bound_holds_for_a_stream() -> None:
    engine = StreamingEngine([counted(CALL, 9), ANSWER])
    with serving(engine, LIMITS) as served:
        got = await chunks(served, max_tokens=9)
    assert text_of(got) == "" and got[-1].choices[0].finish_reason == "length"
    assert adaptive(got[-1])["outcome"] == "empty"


class Breaking(StreamingEngine):
    """Its first stream breaks off in the middle."""

    has_broken = False

    async def stream(self, request: Request) -> AsyncGenerator[str | Event, None]:
        async for piece in super().stream(request):
            if isinstance(piece, str) and "</" in piece and not self.has_broken:
                self.has_broken = True
                yield BackendFailed(error="the power went away")
                return
            yield piece


async def test_what_breaks_off_unseen_is_asked_for_again() -> None:
    engine = Breaking(twice)
    with serving(engine, LIMITS) as served:
        assert text_of(await chunks(served)) == ANSWER
    assert [len(request.messages) for request in engine.requests] == [1, 1, 3]


async def test_what_breaks_off_in_sight_is_a_failure() -> None:
    engine = Breaking(twice)
    fixed = {"adaptive": {"policy": "always_low"}}
    with serving(engine, LIMITS) as served, pytest.raises(openai.APIError, match="power"):
        await chunks(served, extra_body=fixed)
    assert len(engine.requests) == 1


class Ahead(Held):
    """Is told what it will be asked for."""

    def __init__(self, script: Callable[[Request], ScriptLine]) -> None:
        super().__init__(script)
        self.prepared: list[tuple[int, int]] = []

    def prepare(self, picture: Image.Image, view: View) -> None:
        self.prepared.append((len(self.requests), view.size.width))


async def test_the_closer_view_is_prepared_while_the_call_is_written() -> None:
    engine = Ahead(twice)
    with serving(engine, LIMITS) as served:
        asked = asyncio.create_task(chunks(served))
        engine.num_allowed = len("<think>too small</think>") // 3
        await until(lambda: engine.num_allowed == 0)
        assert engine.prepared == []
        engine.num_allowed = len("<tool_call>") // 3 + 1
        await until(lambda: engine.num_allowed == 0 and bool(engine.prepared))
        assert engine.prepared == [(1, 112)], "in the first turn, which is not over"
        engine.num_allowed = 1000
        assert text_of(await asked) == ANSWER
    assert len(engine.prepared) == 1


async def test_the_closer_view_of_each_picture_is_prepared() -> None:
    engine = Ahead(twice)
    engine.num_allowed = 1000
    with serving(engine, LIMITS) as served:
        await chunks(served, messages=[question(data_url(noise(84, 112)), text=""), question()])
    assert engine.prepared == [(1, 84), (1, 112)]
