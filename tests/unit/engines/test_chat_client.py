"""Against a real HTTP server: what is tried again, how late, and what the caller is told in the end."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from openai.types.chat import ChatCompletionMessageParam

from visionthink.engines.chat_client import ChatClient, ChatError, ChatSampling, RetryRule, open_client
from visionthink.engines.endpoint import Address
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


async def test_a_server_that_refuses_fields_is_asked_in_its_own_way() -> None:
    """As OpenAI's reasoning models do; the client remembers it."""
    refusals = [
        JSONResponse({"error": {"message": told, "param": param, "code": "unsupported_parameter"}}, status_code=400)
        for param, told in (
            ("max_tokens", "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
            ("temperature", "'temperature' does not support 0.0 with this model."),
        )
    ]
    with serving([*refusals, GOOD]) as server:
        client = ChatClient(server.url, model="m", is_wish=True)
        for _ in range(2):
            await client.complete([{"role": "user", "content": "hi"}], SAMPLING)
        await client.aclose()
    assert len(server.requests) == 4
    fields = [request.keys() - {"model", "messages"} for request in server.requests[2:]]
    assert fields == [{"top_p", "max_completion_tokens"}] * 2


async def test_a_temperature_that_a_caller_relies_on_is_not_left_out() -> None:
    refusal = JSONResponse({"error": {"message": "'temperature' does not support 0.0"}}, status_code=400)
    with serving([refusal, GOOD]) as server, pytest.raises(ChatError, match="'temperature' does not support"):
        await ask(server.url, Clock())
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "want"),
    [
        ({"error": {"message": "too long", "code": 400}}, "too long"),
        ({"error": "too long"}, "too long"),
        ({"detail": [{"msg": "too long", "loc": ["body"]}]}, "too long"),
        ({"message": "too long"}, "too long"),
        ([{"error": {"message": "too long"}}], "too long"),
        ({"detail": "too long " * 500}, "too long"),
        ({}, "400"),
        ("<html>" * 1000, "<html>"),
    ],
)
async def test_an_error_of_any_shape_is_told_in_a_line(body: object, want: str) -> None:
    with serving([JSONResponse(body, status_code=400)]) as server, pytest.raises(ChatError) as caught:
        await ask(server.url, Clock())
    assert want in str(caught.value) and len(str(caught.value)) < 450 and "\n" not in str(caught.value)


async def test_a_server_that_has_moved_is_not_followed() -> None:
    """The key would go along."""
    with serving([GOOD]) as other:
        moved = Response(status_code=308, headers={"location": f"{other.url}/chat/completions"})
        with (
            serving([moved]) as server,
            pytest.raises(ChatError, match=r"has moved to http://.*; name that") as caught,
        ):
            await ask(server.url, Clock())
    assert caught.value.is_of_service and not caught.value.retryable and not other.requests


async def test_a_completion_without_the_fields_that_nobody_reads_is_one() -> None:
    """Small servers write few of OpenAI's fields, and reasons of their own."""
    choice = {"message": {"role": "assistant", "content": "hello"}, "finish_reason": "eos_token"}
    with serving([JSONResponse({"choices": [choice]})]) as server:
        assert await ask(server.url, Clock()) == "hello"


async def test_a_request_of_megabytes_arrives_whole() -> None:
    text = "é" * 3_000_000
    with serving([GOOD]) as server:
        client = ChatClient(server.url, model="m")
        await client.complete([{"role": "user", "content": text}], SAMPLING)
        await client.complete(b'[{"role": "user", "content": "ready-made"}]', SAMPLING)
        await client.aclose()
    contents = [request["messages"][0]["content"] for request in server.requests]  # type: ignore[index]
    assert contents == [text, "ready-made"]


async def test_fields_of_the_address_and_the_key_reach_the_server() -> None:
    """Azure's older addresses: a version in the query, the key in a header of its own."""
    seen: list[Request] = []
    app = FastAPI()

    @app.post("/openai/deployments/d/chat/completions")
    async def chat(request: Request) -> Response:
        seen.append(request)
        return GOOD

    with background_server(app, ready_path=None) as url:
        place = f"{url}/openai/deployments/d?api-version=2024-10-21&model=m"
        client = open_client(place, api_key="secret", timeout_s=5.0, max_connections=2)
        await client.complete([], SAMPLING)
        await client.aclose()
    assert dict(seen[0].query_params) == {"api-version": "2024-10-21"}
    assert seen[0].headers["api-key"] == "secret"


async def test_what_a_request_holds_is_made_when_a_connection_is_free() -> None:
    made = most = 0

    async def messages() -> list[ChatCompletionMessageParam]:
        nonlocal made
        made += 1
        return [{"role": "user", "content": "hi"}]

    with serving([GOOD], delay_s=0.02) as server:
        client = ChatClient(server.url, model="m", max_connections=1)
        tasks = [asyncio.create_task(client.complete(messages, SAMPLING)) for _ in range(12)]
        while not all(task.done() for task in tasks):
            most = max(most, made - sum(task.done() for task in tasks))
            await asyncio.sleep(0.002)
        await client.aclose()
    assert made == 12 and most <= 2


async def test_a_server_that_is_away_is_left_to_the_other() -> None:
    clock = Clock()
    with serving([GOOD]) as gone:
        away = gone.url
    with serving([GOOD]) as one:
        addresses = [Address(base_url=away), Address(base_url=one.url)]
        client = ChatClient(addresses, model="m", sleep=clock.sleep, jitter=lambda: 0.5)
        for number in range(6):
            await client.complete([{"role": "user", "content": "hi"}], SAMPLING, session=str(number))
        assert await client.serves_model()
        await client.aclose()
    assert len(one.requests) == 6
    assert clock.waits == [], "there was always another one to ask"


async def test_sessions_share_the_servers_and_stay_where_they_are() -> None:
    with serving([GOOD], delay_s=0.01) as one, serving([GOOD], delay_s=0.01) as other:
        client = ChatClient([Address(base_url=one.url), Address(base_url=other.url)], model="m")
        for _ in range(3):
            asks = (client.complete([{"role": "user", "content": name}], SAMPLING, session=name) for name in "abcdefgh")
            await asyncio.gather(*asks)
        await client.aclose()
    sessions = [
        {str(message["content"]) for request in server.requests for message in request["messages"]}  # type: ignore[attr-defined]
        for server in (one, other)
    ]
    assert sessions[0].isdisjoint(sessions[1]) and len(sessions[0]) == len(sessions[1]) == 4
    assert len(one.requests) == len(other.requests) == 12


async def test_a_dead_proxy_does_not_stand_before_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving([GOOD]) as server:
        assert await ask(server.url, Clock(), RetryRule(max_retries=0)) == "hello"
