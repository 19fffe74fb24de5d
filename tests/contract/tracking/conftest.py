"""Real MLflow twice, a sqlite file and a server over HTTP, and a cable to the server that can be pulled."""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from visionthink.tracking import MlflowConnection, MlflowSettings

START_TIMEOUT_S = 120


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sqlite file with MLflow's tables; copying it saves the seconds that making them takes."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connection = MlflowConnection(MlflowSettings(tracking_uri=f"sqlite:///{path}", experiment="unused"))
    connection.call("make tables", lambda client: client.search_experiments())
    return path


@pytest.fixture(scope="session")
def server_uri(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow server` on a free port with artifacts behind its proxy."""
    with mlflow_server(empty_database, tmp_path_factory.mktemp("server")) as uri:
        yield uri


@contextlib.contextmanager
def mlflow_server(empty_database: Path, home: Path, *, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of a server that keeps everything in `home`, until the block ends."""
    database = Path(shutil.copy(empty_database, home))
    log = home / "server.log"
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--host", host, "--port", "0"]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", str(home / "artifacts")]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(home), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
        try:
            yield _wait_for_address(log, process)
        finally:
            # The group is ours alone: it was started with a session of its own.
            _signal_group(process, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)
                process.wait(timeout=20)


def _wait_for_address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"running on (http://[\d.]+:\d+)", log.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"mlflow server did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _signal_group(process: "subprocess.Popen[bytes]", number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@dataclass
class Cable:
    """A forwarder to the server: `through` carries bytes, `cut` refuses connections, `hang` takes them in silence."""

    target: tuple[str, int]
    port: int = 0
    mode: Literal["through", "hang"] = "through"
    _listener: socket.socket | None = None
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def plug(self) -> None:
        self.mode = "through"
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def cut(self) -> None:
        listener, self._listener = self._listener, None
        if listener:
            # Shutting down wakes the thread that waits in accept().
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in self._open:
            connection.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self._open.append(near)
            threading.Thread(target=self._carry, args=[near], daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with socket.create_connection(self.target) as far, near, contextlib.suppress(OSError, ValueError):
            while True:
                ready, _, _ = select.select([near, far], [], [], 10)
                for end in ready:
                    data = end.recv(65536)
                    if not data:
                        return
                    if self.mode == "through":
                        (far if end is near else near).sendall(data)


@pytest.fixture
def cable(server_uri: str) -> Iterator[Cable]:
    host, port = server_uri.removeprefix("http://").split(":")
    made = Cable(target=(host, int(port)))
    made.plug()
    yield made
    made.cut()


@pytest.fixture
def refused_uri() -> str:
    """An address where nothing listens: it was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"
