"""The gateway's process as KServe starts it: whose paths are whose, readiness, and an end that loses nothing."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import openai
import pytest
from tests.contract.engines.chat_server import chat_server
from tests.contract.serving.served import ANSWER, question, twice

from visionthink.core.episode import Event
from visionthink.engines import ScriptedEngine
from visionthink.engines.engine import Request
from visionthink.serving import background_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

START_S: Final = 240.0
"""KServe's package alone takes seconds to import; beside other work a minute."""


@contextmanager
def gateway(folder: Path, *flags: str, predictor: str = "localhost:9") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running gateway's address, and the process; it is ended if it is still there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "visionthink.serving.kserve_server", "--model_name=scripted"),
            *(f"--http_port={port}", f"--predictor_host={predictor}", f"--model_dir={folder}", *flags),
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until_it_listens(port, process)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.communicate(timeout=30)


def wait_until_it_listens(port: int, process: subprocess.Popen[str]) -> None:
    end_s = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end_s, "the gateway does not listen"
            time.sleep(0.1)
        else:
            return


def host_of(url: str) -> str:
    return url.removeprefix("http://")


def test_the_app_has_its_paths_and_kserve_has_the_others(tmp_path: Path) -> None:
    with gateway(tmp_path) as (url, _), httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        assert http.get("/v1/models").json()["data"][0]["id"] == "scripted"
        assert http.get("/v2/health/live").json() == {"live": True}
        unready = http.get("/v2/health/ready")
        assert (unready.status_code, unready.json()) == (503, {"ready": False}), "there is no engine"
        assert http.get("/v2").json()["name"] == "visionthink"
        assert http.get("/v2/models/scripted/ready").json() == {"name": "scripted", "ready": False}
        refused = http.post("/v2/models/scripted/infer", json={"inputs": []})
        assert refused.status_code == 400 and "/v1/chat/completions" in refused.text
        metrics = http.get("/metrics").text
        assert "visionthink_serve_" in metrics and "request_predict_seconds" in metrics
        wrong = http.post("/v1/chat/completions", json={"model": "scripted"})
        assert wrong.status_code == 422 and wrong.json()["error"]["param"] == "messages"
        assert wrong.headers["x-request-id"]


def test_answers_come_from_the_predictor_whole_and_streamed(tmp_path: Path) -> None:
    upstream = chat_server(ScriptedEngine(twice))
    with background_server(upstream, ready_path=None) as at, gateway(tmp_path, predictor=host_of(at)) as (url, _):
        assert httpx.get(f"{url}/v2/health/ready", trust_env=False, timeout=30).status_code == 200
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client:
            whole = client.chat.completions.create(model="scripted", messages=[question()])
            stream = client.chat.completions.create(model="scripted", messages=[question()], stream=True)
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert whole.choices[0].message.content == "".join(pieces) == ANSWER


class Slow(ScriptedEngine):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(twice)
        self.asked = threading.Event()
        self.may_answer = threading.Event()

    async def reply(self, request: Request) -> Event:
        self.asked.set()
        await until(self.may_answer.is_set)
        return await super().reply(request)


async def test_what_it_holds_is_answered_after_it_was_told_to_end(tmp_path: Path) -> None:
    engine = Slow()
    loop = asyncio.get_running_loop()
    with (
        background_server(chat_server(engine), ready_path=None) as upstream,
        gateway(tmp_path, "--drain_s=60", predictor=host_of(upstream)) as (url, process),
    ):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=90) as client:
            held = asyncio.ensure_future(client.chat.completions.create(model="scripted", messages=[question()]))
            await until(engine.asked.is_set)
            process.send_signal(signal.SIGTERM)
            await until(lambda: not is_listening(url))
            assert not held.done()
            engine.may_answer.set()
            assert (await held).choices[0].message.content == ANSWER
        code = await loop.run_in_executor(None, process.wait, 60)
    assert code == 0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.05)


def is_listening(url: str) -> bool:
    host, _, port = host_of(url).partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        (["--model_name=a"], "--predictor_host is missing"),
        (["--predictor_host=localhost:1", "--set=serve.what=1"], "unknown key serve.what"),
        (["--predictor_host=localhost:1", "--settings=/nowhere.toml"], "/nowhere.toml cannot be read"),
    ],
    ids=["no predictor", "unknown setting", "no file"],
)
def test_flags_that_cannot_be_used_end_it_with_a_word(flags: list[str], want: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "visionthink.serving.kserve_server", *flags],
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert done.returncode == 2 and want in done.stderr and "Traceback" not in done.stderr
