"""The endpoint and the server behind it, each in a process of its own, and many clients before them."""

import asyncio
import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psutil
from PIL import Image
from tests.e2e.program import PROGRAM

from visionthink.model.bundled import EMBEDDED, base_folder

ROOT: Final = Path(__file__).parents[2]
NUM_CLIENTS: Final = 64
_DEADLINE_S: Final = 120.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def data_url() -> str:
    file = io.BytesIO()
    Image.effect_noise((112, 56), 80).convert("RGB").save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


_URL: Final = data_url()


def body(*, stream: bool) -> dict[str, object]:
    """A question about a picture."""
    parts = [
        {"type": "image_url", "image_url": {"url": _URL}},
        {"type": "text", "text": "which code is printed ?"},
    ]
    return {"model": "visionthink", "stream": stream, "messages": [{"role": "user", "content": parts}]}


@dataclass
class Stub:
    """The server behind the endpoint."""

    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.stub_chat_server", str(self.port)], cwd=ROOT
        )
        wait_until(lambda: answers(f"{self.url}/stats"), what="the stub")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def behave(self, **manner: float | Sequence[int]) -> None:
        httpx.post(f"{self.url}/control", json=manner, timeout=20).raise_for_status()

    def stats(self) -> Mapping[str, int]:
        found: Mapping[str, int] = httpx.get(f"{self.url}/stats", timeout=20).json()
        return found


@dataclass
class Endpoint:
    """The endpoint's process."""

    port: int
    process: "subprocess.Popen[str]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        return answers(f"{self.url}/v2/health/ready")

    def count(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = httpx.get(f"{self.url}/metrics", timeout=20).text.splitlines()
        named = [line for line in lines if line.partition("{")[0].partition(" ")[0] == f"visionthink_serve_{name}"]
        return sum(float(line.rpartition(" ")[2]) for line in named)

    def sockets(self) -> list[str]:
        """The states of its connections with clients."""
        found = psutil.Process(self.process.pid).connections(kind="tcp")
        return [one.status for one in found if getattr(one.laddr, "port", None) == self.port and one.status != "LISTEN"]

    def num_files(self, behind: int) -> tuple[int, int]:
        """Its open files, and how many more are kept connections with the server that listens on `behind`."""
        process = psutil.Process(self.process.pid)
        kept = [one for one in process.connections(kind="tcp") if getattr(one.raddr, "port", None) == behind]
        return process.num_fds() - len(kept), len(kept)

    def wait_until_idle(self, num_tasks: float) -> None:
        """Return when nothing of what was asked is left."""
        wait_until(lambda: self.count("num_in_flight") == 0, what="the last request's end")
        wait_until(lambda: self.count("num_queued") == self.count("held_bytes") == 0, what="an empty queue")
        # Its own connection, by which this is asked, may come or go.
        wait_until(lambda: self.count("num_tasks") <= num_tasks + 2, what="the last task's end")
        wait_until(lambda: len(self.sockets()) <= 1, what="the last connection's end")


@dataclass
class Answer:
    """What a client got."""

    status: int
    code: str | None = None
    """Of the error, of the response or in the stream."""
    is_whole: bool = False
    """A response with an answer, or with an OpenAI-shaped error; a stream that came to its `[DONE]`."""
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


async def ask(client: httpx.AsyncClient, url: str, *, stream: bool) -> Answer:
    """One question; a connection that breaks raises."""
    start_s = time.monotonic()
    got = await client.post(f"{url}/v1/chat/completions", json=body(stream=stream))
    seconds = time.monotonic() - start_s
    if got.headers["content-type"].startswith("text/event-stream"):
        events = [line.removeprefix("data: ") for line in got.text.splitlines() if line.startswith("data: ")]
        error: dict[str, str] = next(
            (json.loads(event)["error"] for event in events[:-1] if '"error"' in event[:10]), {}
        )
        return Answer(200, error.get("code"), events[-1] == "[DONE]", seconds, got.headers)
    error = got.json().get("error", {})
    is_whole = got.status_code == 200 or set(error) == {"message", "type", "param", "code"}
    return Answer(got.status_code, error.get("code"), is_whole, seconds, got.headers)


async def ask_many(url: str, num: int = NUM_CLIENTS) -> list[Answer]:
    """That many at once, every second one streamed."""
    limits = httpx.Limits(max_connections=num, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=_DEADLINE_S, limits=limits) as client:
        return list(await asyncio.gather(*(ask(client, url, stream=number % 2 == 1) for number in range(num))))


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until(condition: Callable[[], bool], *, what: str) -> None:
    end_s = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"{what} did not come about in {_DEADLINE_S:g} s"
        time.sleep(0.02)


@contextmanager
def endpoint(home: Path, stub: Stub, **settings: object) -> Iterator[Endpoint]:
    """The endpoint before `stub`, until the block ends."""
    port, log = free_port(), home / "log.txt"
    engine = f"openai:{stub.url}/v1?model=stub"
    options = [f"--set=serve.{name}={json.dumps(value)}" for name, value in settings.items()]
    command = [str(PROGRAM), "serve", "--model", str(base_folder(EMBEDDED)), "--engine", engine, "--port", str(port)]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, *options], cwd=home, stdout=file, stderr=file, text=True, env={**os.environ}
        )
    try:
        found = Endpoint(port, process, log)
        wait_until(lambda: process.poll() is not None or found.is_ready(), what="the endpoint")
        assert process.poll() is None, log.read_text()
        yield found
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
