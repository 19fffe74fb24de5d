"""Faults under load: 64 clients at once, half of them streaming, before a server that is killed, slow or talks rubbish.

Nobody goes without an answer, each answer says what it is, and afterwards nothing is left of what went wrong: no
request, task or connection. The endpoint is one process that is never started again.
"""

import asyncio
import json
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import httpx
import pytest
from tests.e2e.served_process import (
    NUM_CLIENTS,
    Answer,
    Endpoint,
    Stub,
    answers,
    ask,
    ask_many,
    body,
    endpoint,
    free_port,
    wait_until,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MAX_IN_FLIGHT = 48
BUSY = {(408, "upload_timeout"), (429, "overloaded"), (504, "timeout"), (200, "timeout")}
"""What a machine with much else to do may also say. A 200 with a code is a stream that had begun before its error."""


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    server = Stub(free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, stub: Stub) -> Iterator[Endpoint]:
    home = tmp_path_factory.mktemp("faults")
    settings = {
        "timeout_s": 40.0,
        "max_in_flight": MAX_IN_FLIGHT,
        "max_wait_s": 30.0,
        "drain_s": 5.0,
        "log_format": "json",
    }
    with endpoint(home, stub, **settings) as found:
        yield found


@pytest.fixture(scope="module")
def quiet(served: Endpoint, stub: Stub) -> tuple[float, int]:
    """The tasks and open files of the endpoint at rest, once it has worked."""
    wait_until(lambda: is_well(served), what="a good round")
    served.wait_until_idle(8)
    return served.count("num_tasks"), served.num_files(stub.port)[0]


@pytest.fixture
def idle(served: Endpoint, stub: Stub, quiet: tuple[float, int]) -> Iterator[Endpoint]:
    """The endpoint, which is as empty after the test as before."""
    num_tasks, num_files = quiet
    stub.behave()
    yield served
    assert served.process.poll() is None, served.log.read_text()[-2000:]
    served.wait_until_idle(num_tasks)
    stub.behave()
    wait_until(served.is_ready, what="readiness")
    wait_until(lambda: is_well(served), what="a good round behind")
    served.wait_until_idle(num_tasks)
    own, kept = served.num_files(stub.port)
    assert own <= num_files + 2 and kept <= MAX_IN_FLIGHT + 1, "a connection was left open"
    assert "Task exception was never retrieved" not in served.log.read_text()


def is_well(served: Endpoint) -> bool:
    """A round in which all are answered. On a machine with much else to do the first one may be too slow for it."""
    return told(asyncio.run(ask_many(served.url))) == {(200, None): NUM_CLIENTS}


def told(answers: list[Answer]) -> Counter[tuple[int, str | None]]:
    assert all(answer.is_whole for answer in answers), "a request without an answer"
    return Counter((answer.status, answer.code) for answer in answers)


async def load(url: str, results: list[Answer], stop: asyncio.Event) -> None:
    """64 clients, each of which asks again as soon as it is answered."""

    async def one(client: httpx.AsyncClient, number: int) -> None:
        while not stop.is_set():
            results.append(await ask(client, url, stream=number % 2 == 1))

    limits = httpx.Limits(max_connections=NUM_CLIENTS, max_keepalive_connections=NUM_CLIENTS)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        await asyncio.gather(*(one(client, number) for number in range(NUM_CLIENTS)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def test_an_engine_that_is_killed_and_comes_back(idle: Endpoint, stub: Stub) -> None:
    async def scene() -> list[Answer]:
        results: list[Answer] = []
        stop = asyncio.Event()
        clients = asyncio.create_task(load(idle.url, results, stop))
        await until(lambda: len(results) > NUM_CLIENTS)
        stub.kill()
        num_before = len(results)
        await until(lambda: sum(answer.status == 503 for answer in results[num_before:]) >= 16)
        async with httpx.AsyncClient(timeout=20) as client:
            ready = await client.get(f"{idle.url}/v2/health/ready")
            live = await client.get(f"{idle.url}/v2/health/live")
        assert (ready.status_code, live.status_code) == (503, 200)
        await asyncio.to_thread(stub.start)
        num_back = len(results)
        await until(lambda: sum(answer.status == 200 for answer in results[num_back:]) >= NUM_CLIENTS)
        stop.set()
        await clients
        return results

    results = asyncio.run(scene())
    found = told(results)
    # 200 with a code is a stream that broke off behind its first word.
    allowed = {(200, None), (200, "engine_failed"), (503, "engine_failed"), (429, "overloaded"), (504, "timeout")}
    assert found.keys() <= allowed, found
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in results if answer.status in (429, 503))


def test_an_engine_that_is_slow(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whoever is at the engine is told when the time is up, whoever waits is told too, and the engine is spared."""
    stub.behave()
    settings = {"timeout_s": 3.0, "max_in_flight": MAX_IN_FLIGHT, "max_wait_s": 2.0}
    with endpoint(tmp_path_factory.mktemp("slow"), stub, **settings) as served:
        before = stub.stats()
        stub.behave(delay_s=60.0)
        found = told(asyncio.run(ask_many(served.url)))
        assert found[504, "timeout"] + found[200, "timeout"] and found[429, "overloaded"], found
        assert found.keys() <= BUSY, found
        wait_until(lambda: asked_and_left(stub, before), what="the engine's work to be given up")
        stub.behave()
        wait_until(lambda: told(asyncio.run(ask_many(served.url, 8))) == {(200, None): 8}, what="a good round behind")
        served.wait_until_idle(8)


def asked_and_left(stub: Stub, before: Mapping[str, int]) -> bool:
    """Whether the engine was asked, and nobody waits for what it was asked."""
    now = stub.stats()
    num_asked, num_left = (now[name] - before[name] for name in ("num_asked", "num_left"))
    return 0 < num_asked == num_left <= MAX_IN_FLIGHT


def test_an_engine_that_talks_rubbish(idle: Endpoint, stub: Stub) -> None:
    """HTML, half a text of JSON, other types, nothing: none of it is a bug of ours, nor an answer."""
    stub.behave(rubbish=True)
    found = told(asyncio.run(ask_many(idle.url)))
    allowed = {(status, code) for code in ("engine_refused", "engine_failed") for status in (200, 502, 503)}
    assert found[502, "engine_refused"] and found.keys() <= allowed | BUSY, found


def test_an_engine_that_refuses(idle: Endpoint, stub: Stub) -> None:
    """What is the request's or the operator's fault is final; what may pass may be tried again."""
    stub.behave(statuses=[400, 401, 404])
    found = told(asyncio.run(ask_many(idle.url)))
    assert found[502, "engine_refused"] and found.keys() <= {(502, "engine_refused"), (200, "engine_refused")} | BUSY, (
        found
    )
    stub.behave(statuses=[429, 500, 503])
    found = told(asyncio.run(ask_many(idle.url)))
    assert found[503, "engine_failed"] and found.keys() <= {(503, "engine_failed"), (200, "engine_failed")} | BUSY, (
        found
    )


@pytest.mark.parametrize("stream", [False, True])
def test_clients_that_leave(idle: Endpoint, stub: Stub, stream: bool) -> None:
    """While they wait for a stream's first word, or for a whole answer: the engine hears of it."""
    before = stub.stats()
    stub.behave(delay_s=60.0)
    data = json.dumps(body(stream=stream)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(data)}\r\n\r\n".encode()
    clients = [socket.create_connection(("127.0.0.1", idle.port)) for _ in range(NUM_CLIENTS)]
    for client in clients:
        client.sendall(head + data)
    wait_until(
        lambda: stub.stats()["num_asked"] - before["num_asked"] >= MAX_IN_FLIGHT, what="48 questions at the engine"
    )
    abandoned = idle.count("requests_total")
    for client in clients:
        client.close()
    wait_until(
        lambda: stub.stats()["num_left"] - before["num_left"] >= MAX_IN_FLIGHT, what="the engine's work to be given up"
    )
    wait_until(lambda: idle.count("requests_total") - abandoned == NUM_CLIENTS, what="all to be counted")


def test_a_server_that_is_told_to_end(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> None:
    stub.behave(delay_s=60.0)
    before = stub.stats()["num_asked"]
    with endpoint(tmp_path_factory.mktemp("end"), stub, drain_s=20.0) as served:

        async def scene() -> tuple[list[Answer], list[Answer]]:
            asking = asyncio.create_task(ask_many(served.url))
            await until(lambda: stub.stats()["num_asked"] - before >= NUM_CLIENTS)
            served.process.send_signal(signal.SIGTERM)
            await until(lambda: not answers(f"{served.url}/v2/health/ready"))
            late = []
            async with httpx.AsyncClient(timeout=20) as client:
                for number in range(4):
                    late.append(await ask(client, served.url, stream=number % 2 == 1))
            await asyncio.to_thread(stub.behave)
            return await asking, late

        inside, late = asyncio.run(scene())
        assert told(inside) == {(200, None): NUM_CLIENTS}
        assert told(late) == {(503, "shutting_down"): 4}
        assert all(answer.headers["connection"] == "close" and answer.headers["retry-after"] for answer in late)
        assert served.process.wait(20) == 0, served.log.read_text()[-2000:]
        assert "Traceback" not in served.log.read_text()


def test_a_server_whose_grace_period_is_over(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> None:
    stub.behave(delay_s=60.0)
    before = stub.stats()["num_asked"]
    with endpoint(tmp_path_factory.mktemp("end"), stub, drain_s=0.5) as served:

        async def scene() -> list[Answer]:
            asking = asyncio.create_task(ask_many(served.url))
            await until(lambda: stub.stats()["num_asked"] - before >= NUM_CLIENTS)
            served.process.send_signal(signal.SIGTERM)
            return await asking

        start_s = time.monotonic()
        found = told(asyncio.run(scene()))
        assert set(found) <= {(503, "shutting_down"), (200, "shutting_down")} and found.total() == NUM_CLIENTS
        assert served.process.wait(20) == 0, served.log.read_text()[-2000:]
        assert time.monotonic() - start_s < 60
