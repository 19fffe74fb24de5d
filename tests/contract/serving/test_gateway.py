"""The same app in front of servers: what they say goes through, and what they refuse is told as it is."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import httpx
import openai
import pytest
from tests.contract.engines.chat_server import chat_server
from tests.contract.serving.served import ANSWER, CALL, Served, adaptive, ask, chunks, question, serving, twice
from tests.contract.serving.test_app import Stuck, until
from tests.contract.serving.test_stream import Held, text_of

from visionthink.core.episode import BackendFailed, NoRoom
from visionthink.core.message import Role
from visionthink.engines import ScriptedEngine, open_engine
from visionthink.serving import ServingLimits, background_server


@contextmanager
def gateway(engines: Sequence[ScriptedEngine], model: str = "scripted") -> Iterator[Served]:
    with ExitStack() as stack:
        urls = [stack.enter_context(background_server(chat_server(engine), ready_path=None)) for engine in engines]
        place = ",".join(f"{url}/v1" for url in urls)
        engine = open_engine(f"openai:{place}?model={model}")
        yield stack.enter_context(serving(engine, ServingLimits(max_tokens=64, timeout_s=20.0), ready_path=None))


async def test_an_episode_is_held_with_a_server() -> None:
    upstream = ScriptedEngine(twice)
    with gateway([upstream]) as served:
        got = await ask(served, temperature=0.5, seed=3)
    assert got.choices[0].message.content == ANSWER and adaptive(got)["visual_tokens"] == 10
    first, second = upstream.requests
    assert [len(message.views) for message in second.messages] == [1, 0, 1]
    assert second.messages[0].text == first.messages[0].text, "the same beginning, for the prefix cache"
    assert second.messages[1].text == CALL and first.sampling.temperature == 0.5


async def test_a_servers_words_flow_on_as_they_come() -> None:
    upstream = Held(twice)
    with gateway([upstream]) as served:
        async with served.client() as client:
            stream = await client.chat.completions.create(model="tiny-v1", messages=[question()], stream=True)
            upstream.num_allowed = len(CALL) // 3 + 1  # the call is never seen
            await until(lambda: len(upstream.requests) == 2)
            upstream.num_allowed = len("<think>I see.</think><answer>") // 3 + 1
            seen = ""
            while "<answer>" not in seen:
                seen += (await anext(stream)).choices[0].delta.content or ""
            assert ANSWER.startswith(seen) and seen != ANSWER
            upstream.num_allowed = 100
            rest = [chunk async for chunk in stream]
    assert seen + text_of(rest) == ANSWER and adaptive(rest[-1])["visual_tokens"] == 10


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_servers_work(stream: bool) -> None:
    upstream = Held(twice) if stream else Stuck()
    with gateway([upstream]) as served:
        asked = asyncio.create_task(chunks(served) if stream else ask(served))
        await until(lambda: bool(upstream.requests) if isinstance(upstream, Held) else upstream.asked.is_set())
        asked.cancel()
        await until(lambda: upstream.num_closed == 1 if isinstance(upstream, Held) else upstream.left.is_set())
        await until(lambda: served.count("visionthink_serve_requests_total", outcome="abandoned") == 1)
        await until(lambda: served.count("visionthink_serve_num_in_flight") == 0)


async def test_system_text_and_earlier_turns_reach_the_server() -> None:
    upstream = ScriptedEngine(lambda request: ANSWER)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        question(),
    ]
    with gateway([upstream]) as served:
        await ask(served, messages=messages)
        await ask(served, messages=messages[:2])
    pictured, plain = (request.messages for request in upstream.requests)
    assert [message.role for message in pictured] == [Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.USER]
    assert [message.text for message in plain] == ["Be brief.", "hello"]


async def test_the_turns_of_a_request_go_to_one_server() -> None:
    upstreams = [ScriptedEngine(twice), ScriptedEngine(twice)]
    with gateway(upstreams) as served:
        await asyncio.gather(*(ask(served) for _ in range(8)))
    for upstream in upstreams:
        firsts = sum(len(request.messages) == 1 for request in upstream.requests)
        assert firsts > 0 and len(upstream.requests) == 2 * firsts


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (NoRoom(error="5000 tokens"), 400, "context_length_exceeded"),
        (BackendFailed(error="what is this field ?", retryable=False), 502, "engine_refused"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_server_refuses_is_asked_once(
    event: NoRoom | BackendFailed, status: int, code: str, stream: bool
) -> None:
    upstream = ScriptedEngine(lambda request: event)
    with gateway([upstream]) as served:
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", timeout=20) as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await client.chat.completions.create(model="tiny-v1", messages=[question()], stream=stream)
    assert (caught.value.status_code, caught.value.code, len(upstream.requests)) == (status, code, 1)


@pytest.mark.parametrize(("model", "want"), [("scripted", 200), ("other", 503)])
async def test_it_is_ready_when_the_server_lists_the_model(model: str, want: int) -> None:
    with gateway([ScriptedEngine(twice)], model) as served:
        async with httpx.AsyncClient(timeout=20) as client:
            ready = await client.get(f"{served.url}/v2/health/ready")
            live = await client.get(f"{served.url}/v2/health/live")
    assert (ready.status_code, live.status_code) == (want, 200)


async def test_without_its_server_it_is_alive_and_not_ready() -> None:
    with background_server(chat_server(ScriptedEngine(twice)), ready_path=None) as url:
        engine = open_engine(f"openai:{url}/v1?model=scripted")
    with serving(engine, ready_path=None) as served:
        async with httpx.AsyncClient(timeout=20) as client:
            assert (await client.get(f"{served.url}/v2/health/ready")).status_code == 503
            assert (await client.get(f"{served.url}/v2/health/live")).status_code == 200
