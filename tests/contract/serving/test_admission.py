"""A rush costs the server little: who does not get a place is told so before anything is read or decoded."""

import asyncio
import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import httpx
import openai
import pytest
from PIL import Image
from tests.contract.serving.served import Served, ask, question, serving, twice
from tests.contract.serving.test_app import Stuck, until

from visionthink.engines import ScriptedEngine
from visionthink.serving import ServingLimits

NUM_REQUESTS = 40
DECODED = "visionthink_serve_picture_seconds_count"


def rgba_url(side: int) -> str:
    """A picture that is small to send and large to hold."""
    file = io.BytesIO()
    Image.new("RGBA", (side, side), (1, 2, 3, 128)).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


async def statuses(served: Served, body: bytes, count: int) -> list[int]:
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        url = f"{served.url}/v1/chat/completions"
        got = await asyncio.gather(*(client.post(url, content=body) for _ in range(count)))
    assert all(response.headers["retry-after"] == "1" for response in got if response.status_code == 429)
    return sorted(response.status_code for response in got)


@pytest.mark.parametrize("stream", [False, True])
async def test_of_a_rush_only_those_with_a_place_are_decoded(stream: bool) -> None:
    engine = Stuck()
    body = json.dumps({"model": "tiny-v1", "messages": [question(rgba_url(512))], "stream": stream}).encode()
    with serving(engine, ServingLimits(max_in_flight=1, max_queued=0, timeout_s=30.0)) as served:
        first = asyncio.create_task(ask(served))
        await until(engine.asked.is_set)
        assert await statuses(served, body, NUM_REQUESTS) == [429] * NUM_REQUESTS
        assert served.count(DECODED) == 1, "the first request's picture, and no other"
        assert served.count("visionthink_serve_requests_total", outcome="overloaded") == NUM_REQUESTS
        first.cancel()
        await until(engine.left.is_set)


async def test_a_large_body_is_refused_without_being_read() -> None:
    """Sixteen megabytes come in while the answer goes out; the client still sees it."""
    engine = Stuck()
    with serving(engine, ServingLimits(max_in_flight=1, max_queued=0, timeout_s=30.0)) as served:
        first = asyncio.create_task(ask(served))
        await until(engine.asked.is_set)
        body = json.dumps({"model": "tiny-v1", "messages": [question("data:," + "x" * 2**24)]}).encode()
        assert await statuses(served, body, 2) == [429, 429]
        with pytest.raises(openai.RateLimitError, match="in flight"):
            await ask(served, messages=[question("data:," + "x" * 2**24)])
        first.cancel()
        await until(engine.left.is_set)


async def test_pixels_and_bodies_are_counted_together() -> None:
    engine = Stuck()
    one = 512 * 512 * 4
    with serving(engine, ServingLimits(max_held_bytes=one + 20_000, timeout_s=30.0)) as served:
        first = asyncio.create_task(ask(served, messages=[question(rgba_url(512))]))
        await until(engine.asked.is_set)
        assert served.count("visionthink_serve_held_bytes") == one, "the body was let go"
        with pytest.raises(openai.RateLimitError, match="memory") as caught:
            await ask(served, messages=[question(rgba_url(512))])
        assert caught.value.status_code == 429
        first.cancel()
        await until(engine.left.is_set)
        await until(lambda: served.count("visionthink_serve_held_bytes") == 0)


async def upload(served: Served, *, told: int, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(served.url).port)
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {told}\r\n\r\n".encode() + sent)
    await writer.drain()
    return reader, writer


async def test_a_client_that_hangs_up_while_it_uploads_is_abandoned_and_no_bug() -> None:
    with serving(ScriptedEngine(twice)) as served:
        _, writer = await upload(served, told=10_000, sent=b'{"model": ')
        await until(lambda: served.count("visionthink_serve_held_bytes") == 10_000)
        writer.close()
        await until(lambda: served.count("visionthink_serve_requests_total", outcome="abandoned") == 1)
        assert served.count("visionthink_serve_requests_total", outcome="error") == 0
        assert served.count("visionthink_serve_num_in_flight") == served.count("visionthink_serve_held_bytes") == 0


async def test_an_upload_that_never_ends_is_a_408() -> None:
    with serving(ScriptedEngine(twice), ServingLimits(timeout_s=0.1)) as served:
        reader, writer = await upload(served, told=10_000, sent=b'{"model": ')
        head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
        writer.close()
    assert b" 408 " in head
    assert served.count("visionthink_serve_num_in_flight") == 0


_MEASURED = """
import asyncio, json, pathlib, re, sys
from tests.contract.serving.served import serving, twice
from tests.contract.serving.test_admission import NUM_REQUESTS, rgba_url, statuses
from tests.contract.serving.served import question
from visionthink.engines import ScriptedEngine
from visionthink.serving import ServingLimits

def peak():  # of this program alone: what getrusage says is inherited from the one that started it
    return int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024

small = json.dumps({"model": "tiny-v1", "messages": [question()]}).encode()
body = sys.stdin.buffer.read()
with serving(ScriptedEngine(twice), ServingLimits(max_in_flight=4, max_queued=0)) as served:
    asyncio.run(statuses(served, small, NUM_REQUESTS))
    before = peak()
    got = asyncio.run(statuses(served, body, NUM_REQUESTS))
    print(json.dumps({"grown_mib": peak() - before, "answered": got.count(200), "refused": got.count(429)}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peaks are read from /proc")
def test_a_rush_of_large_pictures_holds_what_its_places_hold() -> None:
    """Forty pictures of 4 Mi pixels with transparency: all at once they would hold 1.3 GiB while they are decoded."""
    body = json.dumps({"model": "tiny-v1", "messages": [question(rgba_url(2048))]}).encode()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED], input=body, capture_output=True, check=True, timeout=120, cwd=Path.cwd()
    )
    got = json.loads(done.stdout.splitlines()[-1])
    assert got["answered"] >= 4 and got["answered"] + got["refused"] == NUM_REQUESTS
    # Four places of 16 MiB, two decoders that hold the picture twice, and what the allocator keeps.
    assert 16 < got["grown_mib"] < 250, got
