"""Against a real HTTP server: what is tried again, how late, and what the caller is told in the end."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from visionthink.engines.chat_client import ChatClient, ChatSampling, RetryRule
from visionthink.errors import BackendError
from visionthink.serving.server import background_server

SAMPLING = ChatSampling(temperature=0.0, top_p=1.0, max_tokens=5, seed=None)
GOOD = JSONResponse(
    {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    }
)


def bad(status: int, **headers: str) -> JSONResponse:
    return JSONResponse({"error": {"message": f"status {status}"}}, status_code=status, headers=headers)


@dataclass
class Server:
    """Answers with the responses in turn, the last one for ever."""

    url: str
    requests: list[dict[str, object]] = field(default_factory=list)
    most_at_once: int = 0


@contextmanager
def serving(responses: Sequence[Response], *, delay_s: float = 0.0) -> Iterator[Server]:
    app, left, at_once = FastAPI(), list(responses), 0
    server = Server("")

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        nonlocal at_once
        server.requests.append(await request.json())
        at_once += 1
        server.most_at_once = max(server.most_at_once, at_once)
        await asyncio.sleep(delay_s)
        at_once -= 1
        return left.pop(0) if len(left) > 1 else left[0]

    @app.get("/v1/models")
    async def models() -> dict[str, object]:
        model = {"id": "m", "object": "model", "created": 1, "owned_by": "us"}
        return {"object": "list", "data": [model]}

    with background_server(app, ready_path=None) as url:
        server.url = f"{url}/v1"
        yield server


class Clock:
    """Counts the seconds that nobody really waits."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, delay_s: float) -> None:
        self.waits.append(delay_s)


async def ask(url: str, clock: Clock, retry: RetryRule | None = None, *, timeout_s: float = 20.0) -> str:
    client = ChatClient(
        url, model="m", retry=retry, timeout_s=timeout_s, sleep=clock.sleep, jitter=lambda: 0.5, max_connections=2
    )
    try:
        completion = await client.complete([{"role": "user", "content": "hi"}], SAMPLING)
        return completion.choices[0].message.content or ""
    finally:
        await client.aclose()


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
async def test_a_passing_failure_is_tried_again(status: int) -> None:
    clock = Clock()
    with serving([bad(status), bad(status), GOOD]) as server:
        assert await ask(server.url, clock) == "hello"
    assert len(server.requests) == 3
    assert clock.waits == [0.375, 0.75], "0.5 and 1 second, each times 0.75"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_a_refusal_is_not_tried_again(status: int) -> None:
    clock = Clock()
    with serving([bad(status), GOOD]) as server, pytest.raises(BackendError, match=f"HTTP {status}.*status") as caught:
        await ask(server.url, clock)
    assert not caught.value.retryable
    assert len(server.requests) == 1 and clock.waits == []


async def test_tries_are_bounded_and_delays_are_too() -> None:
    clock = Clock()
    retry = RetryRule(max_retries=4, first_delay_s=1.0, max_delay_s=3.0)
    with serving([bad(503)]) as server, pytest.raises(BackendError, match=r"'m' at http.*5 tries") as caught:
        await ask(server.url, clock, retry)
    assert caught.value.retryable
    assert len(server.requests) == 5
    assert clock.waits == [0.75, 1.5, 2.25, 2.25]


@pytest.mark.parametrize(("asked", "want"), [("7", 7.0), ("3600", 20.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.375)])
async def test_the_delay_that_a_server_asks_for_is_kept_within_bounds(asked: str, want: float) -> None:
    clock = Clock()
    with serving([bad(429, **{"retry-after": asked}), GOOD]) as server:
        assert await ask(server.url, clock) == "hello"
    assert clock.waits == [want]


async def test_a_silent_server_is_given_up_in_time() -> None:
    with serving([GOOD], delay_s=1.0) as server, pytest.raises(BackendError, match=r"within 0\.2 s") as caught:
        await ask(server.url, Clock(), RetryRule(max_retries=0), timeout_s=0.2)
    assert caught.value.retryable


async def test_a_server_that_is_down_is_named() -> None:
    with serving([GOOD]) as server:
        url = server.url
    with pytest.raises(BackendError, match="cannot connect") as caught:
        await ask(url, Clock(), RetryRule(max_retries=1))
    assert url in str(caught.value) and caught.value.retryable


@pytest.mark.parametrize("media_type", ["application/json", "text/html"])
async def test_an_answer_that_is_no_completion_is_an_error(media_type: str) -> None:
    bodies = ["<html>", "[]", "null", '"text"', "{}", '{"choices": null}', '{"choices": [{}]}', '{"choices": [1]}']
    with serving([Response(body, media_type=media_type) for body in bodies]) as server:
        for _ in bodies:
            with pytest.raises(BackendError, match="unreadable"):
                await ask(server.url, Clock(), RetryRule(max_retries=0))
    assert len(server.requests) == len(bodies)


async def test_no_more_requests_are_in_flight_than_allowed() -> None:
    with serving([GOOD], delay_s=0.02) as server:
        client = ChatClient(server.url, model="m", max_connections=2)
        await asyncio.gather(*(client.complete([{"role": "user", "content": "hi"}], SAMPLING) for _ in range(8)))
        await client.aclose()
    assert len(server.requests) == 8 and server.most_at_once == 2


async def test_the_request_carries_model_and_sampling() -> None:
    with serving([GOOD]) as server:
        await ask(server.url, Clock())
        client = ChatClient(server.url, model="m")
        await client.complete([], ChatSampling(temperature=0.5, top_p=0.9, max_tokens=7, seed=11))
        await client.aclose()
    plain, seeded = server.requests
    assert plain == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 5,
    }
    assert (seeded["temperature"], seeded["top_p"], seeded["max_tokens"], seeded["seed"]) == (0.5, 0.9, 7, 11)


async def test_serves_model_asks_for_the_list() -> None:
    with serving([GOOD]) as server:
        for model, want in (("m", True), ("other", False)):
            client = ChatClient(server.url, model=model)
            assert await client.serves_model() is want
            await client.aclose()
    client = ChatClient(server.url, model="m", timeout_s=5.0)
    assert not await client.serves_model()
    await client.aclose()
