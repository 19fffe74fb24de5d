"""Thousands of requests that no client means, sent to a server of its own: each is answered, none costs it anything.

HOSTILE_REQUESTS=10000 sends so many, HOSTILE_SEED=7 sends others.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.contract.serving.mutation import WHOLE, Sent, hostile

from visionthink.core.excerpt import excerpt
from visionthink.serving.schema import ErrorBody

ROOT: Final = Path(__file__).parents[3]
NUM_REQUESTS: Final = int(os.environ.get("HOSTILE_REQUESTS", "3000"))
SEED: Final = int(os.environ.get("HOSTILE_SEED", "1"))
NUM_CLIENTS: Final = 8
HANG_S: Final = 20.0
"""A request of these takes milliseconds; a machine that is busy with other things gets so many seconds."""
ONCE: Final = httpx.Limits(max_keepalive_connections=0)
MAX_GROWTH_BYTES: Final = 24 * 2**20
SERVER: Final = """
import sys
from tests.contract.serving.served import serving, twice
from visionthink.engines import ScriptedEngine
from visionthink.serving import ServingLimits

with serving(ScriptedEngine(twice), ServingLimits(max_tokens=64, max_picture_pixels=2**20)) as served:
    print(served.url, flush=True)
    sys.stdin.read()
"""
ADVICE: Final = re.compile(
    r"[;:,] (so send|send|crop|save|write|use|add|remove|leave|end|put|shrink|/openapi.json)"
    r"|should (be|have|match)|required|must be|not served here|is a text or|a part is an object"
    r"|the body is no JSON: .* at line \d+ column \d+"
)
"""Every refusal says what to change, what belongs there, or where the JSON breaks."""


class Server:
    """The server's process and address."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.url = process.stdout.readline().strip()
        self.process = process

    @property
    def rss_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with (
        (tmp_path / "log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-c", SERVER],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
        ) as process,
    ):
        try:
            found = Server(process)
            assert found.url, (tmp_path / "log").read_text(encoding="utf-8")[-3000:]
            yield found
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            finally:
                process.kill()
    text = (tmp_path / "log").read_text(encoding="utf-8")
    assert "Traceback" not in text, text[-3000:]


async def told(client: httpx.AsyncClient, sent: Sent) -> tuple[int, str]:
    """Status and message of the answer, once it is proven to be one that may be given."""
    shown = (sent.method, sent.path, dict(sent.headers), sent.body[:1500])
    try:
        got = await client.request(sent.method, sent.path, headers=dict(sent.headers), content=sent.body)
    except httpx.HTTPError as error:
        raise AssertionError(f"no answer ({error!r}) to {shown}") from error
    assert got.status_code < 500, (shown, got.text)
    if got.status_code < 400 or sent.method == "HEAD":
        return got.status_code, ""
    message = ErrorBody.model_validate_json(got.content).error.message
    assert message == excerpt(message, 500), (shown, message)
    assert ADVICE.search(message), (shown, message)
    return got.status_code, message


async def send_all(url: str, numbers: range) -> Counter[int]:
    """Send the requests of these numbers, a few at a time, and count the statuses."""
    statuses: Counter[int] = Counter()
    waiting = iter(numbers)

    async def client_of_many(client: httpx.AsyncClient) -> None:
        for number in waiting:
            try:
                status, _ = await told(client, hostile(SEED, number))
            except AssertionError as error:
                raise AssertionError(f"request {number} of seed {SEED}: {error}") from error
            statuses[status] += 1

    async with (
        # A connection that is kept may be closed by the server at the moment of its next use.
        httpx.AsyncClient(base_url=url, timeout=HANG_S, trust_env=False, limits=ONCE) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(NUM_CLIENTS):
            group.create_task(client_of_many(client))
    return statuses


@pytest.mark.slow
@pytest.mark.timeout(120 + NUM_REQUESTS // 10)
async def test_hostile_requests_are_answered_and_leave_nothing_behind(server: Server) -> None:
    warm = NUM_REQUESTS // 3
    statuses = await send_all(server.url, range(warm))
    before_bytes = server.rss_bytes
    statuses += await send_all(server.url, range(warm, NUM_REQUESTS))
    after_bytes = server.rss_bytes
    grown_bytes = after_bytes - before_bytes
    print(
        f"{NUM_REQUESTS} requests of seed {SEED}: {dict(sorted(statuses.items()))}, {before_bytes / 2**20:.1f} MiB "
        f"behind the first third, {after_bytes / 2**20:.1f} MiB at the end"
    )
    assert statuses.total() == NUM_REQUESTS
    assert min(statuses[200], statuses[400], statuses[422]) > NUM_REQUESTS // 100, "the requests are of all sorts"
    assert grown_bytes < MAX_GROWTH_BYTES
    async with httpx.AsyncClient(base_url=server.url, timeout=HANG_S, trust_env=False) as client:
        assert (await client.post("/v1/chat/completions", content=json.dumps(WHOLE))).status_code == 200
        metrics = (await client.get("/metrics")).text
    assert "visionthink_serve_held_bytes 0.0" in metrics and "visionthink_serve_num_in_flight 0.0" in metrics
