"""One real vLLM server a session, on the CPU: it serves the embedded checkpoint's folder as it is."""

import contextlib
import http.client
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.contract.model_to_serve import model_to_serve

MODEL_NAME: Final = "embedded"
_READY_TIMEOUT_S: Final = 480.0
"""Half a minute on a quiet machine; imports and a first start beside other work take several."""
_STOP_TIMEOUT_S: Final = 30.0
_ARGUMENTS: Final = (
    "--dtype=float32",
    "--max-model-len=1024",
    "--max-num-seqs=16",
    '--limit-mm-per-prompt={"image":4,"video":0}',
    "--enable-prefix-caching",
    "--block-size=32",  # the CPU's attention takes multiples of 32 only
    "--enforce-eager",  # compiling takes a minute, and 40 prompts would not earn it back
)


class Server(NamedTuple):
    """A running server and what it serves."""

    url: str
    """Up to and with `/v1`."""
    folder: Path


@pytest.fixture(scope="session")
def folder() -> Path:
    """The model that is served."""
    return model_to_serve()


@pytest.fixture(scope="session")
def server(folder: Path, vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, ready; ended with the session."""
    machine = Machine(vllm_python, folder, tmp_path_factory.mktemp("vllm"))
    try:
        machine.start()
        machine.wait()
        yield Server(machine.url, folder)
    finally:
        machine.stop()


class Machine:
    """A vLLM that can be started, killed, and started again at the same address."""

    def __init__(self, python: Path, folder: Path, home: Path) -> None:
        self._home, self._log, self._port = home, home / "server.log", _free_port()
        self._command = [str(python), "-m", "vllm.entrypoints.openai.api_server", *_ARGUMENTS, f"--model={folder}"]
        self._command += [f"--served-model-name={MODEL_NAME}", "--host=127.0.0.1", f"--port={self._port}"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Up to and with `/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=_environment(self._home),
                cwd=self._home,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        assert self._process is not None
        _wait(self._process, self._port, self._log)

    def kill(self) -> None:
        """As a node that fails: at once, with all that it started."""
        assert self._process is not None
        os.killpg(self._process.pid, 9)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            _stop(self._process)

    def num_answered(self) -> int:
        """Requests that it has answered, as its own metrics say."""
        return counted(self.url, "vllm:request_success_total")


def counted(url: str, name: str) -> int:
    """What the server at `url` says in its own metrics, summed over labels."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if re.match(rf"{name}[{{ ]", line))


@pytest.fixture
def machine(folder: Path, vllm_python: Path, tmp_path: Path) -> Iterator[Machine]:
    """A server of a test's own, ready; ended with the test."""
    made = Machine(vllm_python, folder, tmp_path)
    try:
        made.start()
        made.wait()
        yield made
    finally:
        made.stop()


def _environment(home: Path) -> dict[str, str]:
    """Nothing of the user's but the PATH: no hub, no telemetry, caches of its own."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while not _is_healthy(port):
        if process.poll() is not None or time.monotonic() > deadline:
            told = log.read_text(errors="replace")[-3000:]
            pytest.fail(f"vLLM ended or was not ready after {_READY_TIMEOUT_S} s; the end of {log}:\n{told}")
        time.sleep(0.5)


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server; it ends its workers. What is left after that of its own session is ended as well."""
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
