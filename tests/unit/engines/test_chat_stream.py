"""A completion that comes in chunks: what is tried again, what ends it, and who is told that nobody reads any more."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from visionthink.engines.chat_client import ChatClient, ChatError, ChatSampling, RetryRule
from visionthink.serving.server import background_server

SAMPLING = ChatSampling(temperature=0.0, top_p=1.0, max_tokens=5, seed=None)
HEAD = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
END = "data: [DONE]\n\n"


def data(body: object) -> str:
    return f"data: {json.dumps(body)}\n\n"


def chunk(text: str | None = None, reason: str | None = None) -> str:
    return data({**HEAD, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]})


ROLE = data({**HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
WHOLE = (ROLE, chunk("yel"), chunk("low"), chunk(reason="stop"), data({**HEAD, "choices": [], "usage": USAGE}), END)
FAILED = data({"error": {"message": "out of power", "code": 500}})
REFUSED = data({"error": {"message": "no such grammar", "code": 400}})
BAD = JSONResponse({"error": {"message": "starting"}}, status_code=503)


@dataclass
class Server:
    """What it was asked, and how many streams nobody read to their end."""

    url: str = ""
    bodies: list[dict[str, object]] = field(default_factory=list)
    num_left: int = 0


@contextmanager
def serving(
    *answers: Response | tuple[str, ...], wait: Callable[[], AsyncIterator[str]] | None = None
) -> Iterator[Server]:
    """Gives the answers in turn, the last one for ever; behind a tuple's end goes `wait`."""
    app, left, server = FastAPI(), list(answers), Server()

    async def events(lines: tuple[str, ...]) -> AsyncIterator[str]:
        try:
            for line in lines:
                yield line
            if wait is not None:
                async for line in wait():
                    yield line
        except asyncio.CancelledError:
            server.num_left += 1
            raise

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        server.bodies.append(await request.json())
        answer = left.pop(0) if len(left) > 1 else left[0]
        return (
            StreamingResponse(events(answer), media_type="text/event-stream") if isinstance(answer, tuple) else answer
        )

    with background_server(app, ready_path=None) as url:
        server.url = f"{url}/v1"
        yield server


async def never() -> AsyncIterator[str]:
    await asyncio.Event().wait()
    yield ""


async def no_wait(delay_s: float) -> None:
    del delay_s


def client_of(server: Server, *, timeout_s: float = 20.0, max_retries: int = 3) -> ChatClient:
    rule = RetryRule(max_retries=max_retries)
    return ChatClient(server.url, model="m", retry=rule, timeout_s=timeout_s, sleep=no_wait, max_connections=1)


async def heard(client: ChatClient, into: list[str] | None = None) -> list[str]:
    texts = [] if into is None else into
    try:
        async with aclosing(client.stream([{"role": "user", "content": "hi"}], SAMPLING)) as chunks:
            async for one in chunks:
                texts.extend(choice.delta.content for choice in one.choices if choice.delta.content)
                if one.usage is not None:
                    texts.append(f"{one.usage.prompt_tokens} + {one.usage.completion_tokens}")
    finally:
        await client.aclose()
    return texts


async def test_chunks_come_with_the_usage_at_the_end() -> None:
    with serving(WHOLE) as server:
        assert await heard(client_of(server)) == ["yel", "low", "7 + 2"]
    assert server.bodies[0]["stream"] is True and server.bodies[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("failure", [BAD, (FAILED,), (ROLE, FAILED)], ids=["a status", "an error", "behind the role"])
async def test_what_fails_before_the_first_word_is_tried_again(failure: Response | tuple[str, ...]) -> None:
    with serving(failure, WHOLE) as server:
        assert await heard(client_of(server)) == ["yel", "low", "7 + 2"]
    assert len(server.bodies) == 2


async def test_what_fails_behind_the_first_word_is_not_tried_again() -> None:
    texts: list[str] = []
    told = "error 500 in the stream: out of power"
    with serving((ROLE, chunk("yel"), FAILED), WHOLE) as server, pytest.raises(ChatError, match=told) as caught:
        await heard(client_of(server), texts)
    assert texts == ["yel"] and len(server.bodies) == 1 and caught.value.retryable


async def test_a_refusal_in_the_stream_is_not_tried_again() -> None:
    with serving((REFUSED,)) as server, pytest.raises(ChatError, match="no such grammar") as caught:
        await heard(client_of(server))
    assert len(server.bodies) == 1 and caught.value.status == 400 and not caught.value.retryable


def pretty(body: str) -> str:
    """The same event over several lines, with comments and another field between."""
    text = json.dumps(json.loads(body.removeprefix("data: ")), indent=1)
    return ": alive\r\nid: 3\r\n" + "".join(f"data:{line}\r\n" for line in text.splitlines()) + "\r\n"


async def test_events_are_read_in_any_form_that_the_standard_allows() -> None:
    lines = "".join([*(pretty(line) for line in WHOLE[:-1]), END])
    pieces = tuple(lines[at : at + 7] for at in range(0, len(lines), 7))
    with serving(pieces) as server:
        assert await heard(client_of(server)) == ["yel", "low", "7 + 2"]


@pytest.mark.parametrize("lines", [(), ("data: 17\n\n",), ("data: {\n\n",)], ids=["nothing", "a number", "no json"])
async def test_rubbish_is_no_completion(lines: tuple[str, ...]) -> None:
    with serving(lines) as server, pytest.raises(ChatError, match="unreadable answer"):
        await heard(client_of(server))


async def test_a_server_that_counts_in_no_stream_is_asked_without() -> None:
    unknown = JSONResponse({"error": {"message": "unknown field stream_options"}}, status_code=400)
    with serving(unknown, WHOLE) as server:
        assert await heard(client_of(server)) == ["yel", "low", "7 + 2"]
    assert "stream_options" not in server.bodies[1]


async def test_the_deadline_bounds_the_whole_stream() -> None:
    told = r"no answer within 0\.3 s"
    with serving((ROLE, chunk("yel")), wait=never) as server, pytest.raises(ChatError, match=told) as caught:
        await heard(client_of(server, timeout_s=0.3, max_retries=0))
    assert caught.value.retryable


async def test_a_stream_that_is_left_closes_its_connection_and_gives_it_back() -> None:
    with serving((ROLE, chunk("yel")), wait=never) as server:
        client = client_of(server)  # of one connection
        for _ in range(2):
            chunks = client.stream([{"role": "user", "content": "hi"}], SAMPLING)
            while not (await anext(chunks)).choices[0].delta.content:
                pass
            await chunks.aclose()
        async with asyncio.timeout(10):
            while server.num_left < 2:
                await asyncio.sleep(0.01)
        await client.aclose()


async def test_a_stream_that_is_cancelled_closes_its_connection() -> None:
    with serving((ROLE, chunk("yel")), wait=never) as server:
        client, texts = client_of(server), list[str]()
        task = asyncio.create_task(heard(client, texts))
        async with asyncio.timeout(10):
            while not texts:
                await asyncio.sleep(0.01)
            task.cancel()
            while server.num_left < 1:
                await asyncio.sleep(0.01)
        await client.aclose()
