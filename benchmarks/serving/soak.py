"""Does the endpoint hold what it holds? Minutes of mixed load, and whether memory, tasks and open files stay flat.

The endpoint runs in a process of its own before a stub of a chat server, which is well, slow, out of order and talks
rubbish in turn. The clients ask with pictures of several sizes and without, whole and streamed, well-formed and not,
and some hang up in the middle. Printed every ten seconds: resident memory, tasks, open files, answers. Flat is: over
what is measured behind the warm-up, the line through the memory rises by less than the tolerance. Exit code 1: it is
not flat, or something else than the endpoint's own errors came back.

    python benchmarks/serving/soak.py --minutes 15 --out benchmarks/results/serving/soak.json
"""

import argparse
import asyncio
import base64
import io
import json
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import numpy as np
import psutil
from PIL import Image

from visionthink.model.bundled import EMBEDDED, base_folder
from visionthink.storage import atomic_write_json

ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = Path(sys.executable).parent / "visionthink"
EVERY_S: Final = 10.0
MANNERS: Final[Sequence[dict[str, Any]]] = (
    {},
    {"delay_s": 0.2, "between_s": 0.02},
    {"rubbish": True},
    {},
    {"statuses": [500, 400, 503]},
    {"delay_s": 10.0},
)
"""How the stub behaves, ten seconds each; the last one is slower than a request may be."""
TIMEOUT_S: Final = 5.0
EXPECTED: Final = frozenset({200, 400, 408, 413, 422, 429, 502, 503, 504})
SIZES: Final = ((112, 56), (640, 480), (1280, 960))


class Point(NamedTuple):
    """What was seen at a time."""

    at_s: float
    rss_mib: float
    num_tasks: int
    num_files: int
    num_answers: int


class Load:
    """Clients that ask until they are told to stop."""

    def __init__(self, url: str, *, seed: int) -> None:
        self.url = f"{url}/v1/chat/completions"
        self.statuses: Counter[str] = Counter()
        self.stop = asyncio.Event()
        self._random = random.Random(seed)
        self._bodies = list(bodies())

    async def run(self, num_clients: int) -> None:
        limits = httpx.Limits(max_connections=num_clients)
        async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:
            await asyncio.gather(*(self._client(client) for _ in range(num_clients)))

    async def _client(self, client: httpx.AsyncClient) -> None:
        while not self.stop.is_set():
            body = self._random.choice(self._bodies)
            try:
                if self._random.random() < 0.1:
                    await self._leave(client, body)
                else:
                    got = await client.post(self.url, content=body)
                    self.statuses[str(got.status_code)] += 1
            except httpx.HTTPError as error:
                self.statuses[type(error).__name__] += 1

    async def _leave(self, client: httpx.AsyncClient, body: bytes) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._random.uniform(0.0, 0.3)):
                await client.post(self.url, content=body)
        self.statuses["left"] += 1


def bodies() -> Iterator[bytes]:
    """Questions of every kind."""
    for width, height in SIZES:
        for kind in ("PNG", "JPEG"):
            file = io.BytesIO()
            Image.effect_noise((width, height), 60).convert("RGB").save(file, format=kind)
            url = f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
            for stream in (False, True):
                picture = {"type": "image_url", "image_url": {"url": url}}
                yield _body([picture, {"type": "text", "text": "which code is printed ?"}], stream=stream)
                if kind == "JPEG":
                    yield _body([picture, picture, {"type": "text", "text": "which is larger ?"}], stream=stream)
    yield _body("hello", stream=False)
    yield _body("hello", stream=True)
    yield _body("hello", frobnicate=1)
    yield _body(
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, {"type": "text", "text": "?"}]
    )
    yield b'{"model": '


def _body(content: object, **fields: object) -> bytes:
    return json.dumps({"model": "visionthink", "messages": [{"role": "user", "content": content}], **fields}).encode()


def rise_mib(points: Sequence[Point]) -> float:
    """By how much the line through the memory rises from the first to the last point."""
    at = np.array([point.at_s for point in points])
    slope = np.polyfit(at, np.array([point.rss_mib for point in points]), 1)[0]
    return float(slope * (at[-1] - at[0]))


async def watched(load: Load, process: psutil.Process, base: str, stub: str, seconds: float) -> list[Point]:
    """A point every ten seconds, and another manner of the stub."""
    points: list[Point] = []
    start_s = time.monotonic()
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        while (at_s := time.monotonic() - start_s) < seconds:
            await client.post(f"{stub}/control", json=MANNERS[len(points) % len(MANNERS)])
            text = (await client.get(f"{base}/metrics")).text
            found = re.search(r"^visionthink_serve_num_tasks ([\d.]+)", text, re.MULTILINE)
            num_tasks = int(float(found[1])) if found else -1
            rss_mib = process.memory_info().rss / 2**20
            now = Point(round(at_s, 1), round(rss_mib, 1), num_tasks, process.num_fds(), load.statuses.total())
            points.append(now)
            print(
                f"{now.at_s:6.0f} s {now.rss_mib:7.1f} MiB {now.num_tasks:4d} tasks {now.num_files:4d} files "
                f"{now.num_answers:6d} answers",
                flush=True,
            )
            await asyncio.sleep(max(0.0, len(points) * EVERY_S - (time.monotonic() - start_s)))
    return points


async def soaked(base: str, stub: str, pid: int, options: argparse.Namespace) -> dict[str, Any]:
    load = Load(base, seed=options.seed)
    clients = asyncio.create_task(load.run(options.clients))
    seconds = options.minutes * 60.0
    points = await watched(load, psutil.Process(pid), base, stub, seconds)
    load.stop.set()
    await clients
    measured = [point for point in points if point.at_s >= seconds * options.warm_up_ratio]
    rise = rise_mib(measured)
    mean_mib = sum(point.rss_mib for point in measured) / len(measured)
    odd = {kind: num for kind, num in load.statuses.items() if kind != "left" and int_of(kind) not in EXPECTED}
    return {
        "minutes": options.minutes,
        "clients": options.clients,
        "rss_mib": {"first": points[0].rss_mib, "mean": round(mean_mib, 1), "max": max(p.rss_mib for p in points)},
        "rise_mib": round(rise, 1),
        "tolerance_mib": round(options.tolerance_ratio * mean_mib, 1),
        "is_flat": rise < options.tolerance_ratio * mean_mib,
        "answers": dict(sorted(load.statuses.items())),
        "unexpected": odd,
        "points": [point._asdict() for point in points],
    }


def int_of(kind: str) -> int:
    return int(kind) if kind.isdigit() else 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def started(command: Sequence[str], url: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        end_s = time.monotonic() + 600.0
        while True:
            with suppress(httpx.HTTPError):
                if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                    break
            assert process.poll() is None and time.monotonic() < end_s, f"{command[0]} did not come up"
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warm-up-ratio", type=float, default=0.4, help="share of the time that is not measured")
    parser.add_argument("--tolerance-ratio", type=float, default=0.05, help="rise that counts as flat, of the mean")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    stub, port = f"http://127.0.0.1:{free_port()}", free_port()
    base = f"http://127.0.0.1:{port}"
    serve = [str(PROGRAM), "serve", "--model", str(base_folder(EMBEDDED)), "--port", str(port)]
    serve += ["--engine", f"openai:{stub}/v1?model=stub", f"--set=serve.timeout_s={TIMEOUT_S}"]
    with (
        started([sys.executable, "-m", "tests.fakes.stub_chat_server", stub.rpartition(":")[2]], f"{stub}/stats"),
        started(serve, f"{base}/v2/health/ready") as process,
    ):
        result = asyncio.run(soaked(base, stub, process.pid, options))
    print(json.dumps({name: value for name, value in result.items() if name != "points"}, indent=2))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(options.out, result)
    return 0 if result["is_flat"] and not result["unexpected"] else 1


if __name__ == "__main__":
    sys.exit(main())
