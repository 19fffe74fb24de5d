"""A model server in the pod of a step, for as long as the step asks it.

Rule: it listens on this machine alone, is believed when it lists its model, and ends with the step, its children
included. A server that ends by itself is told with the last of what it said.
"""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import BinaryIO, Final

from visionthink.config import ServingConfig
from visionthink.errors import EngineError

_POLL_S: Final = 0.5
_END_S: Final = 30.0
_TAIL_BYTES: Final = 2000


@contextlib.contextmanager
def served_model(
    model: Path, *, name: str, serving: ServingConfig, memory_ratio: float, say: Callable[[str], None]
) -> Generator[str]:
    """The address of a server that holds the model in the folder `model`, as an engine's.

    Raises:
        EngineError: it does not come up.
    """
    port = _free_port()
    own = ["--host=127.0.0.1", f"--port={port}", f"--served-model-name={name}"]
    command = [*serving.engine_command, str(model), *own, *serving.engine_args]
    if serving.engine.gpus:
        command.append(f"--gpu-memory-utilization={memory_ratio}")
    variables = dict(variable.split("=", 1) for variable in serving.engine_env)
    with tempfile.TemporaryFile(prefix="visionthink-") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **variables}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            say(f"serving {model} at port {port}")
            _await(f"http://127.0.0.1:{port}/v1/models", process, log, serving.start_s)
            yield f"openai:http://127.0.0.1:{port}/v1?model={name}"
        finally:
            _end(process)


def _await(url: str, process: "subprocess.Popen[bytes]", log: BinaryIO, s: float) -> None:
    import httpx

    end_s = time.monotonic() + s
    with httpx.Client(trust_env=False, timeout=10.0) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(url).is_success:
                    return
            if process.poll() is not None:
                raise EngineError(
                    f"the model server ended with exit code {process.returncode}: {_tail(log)}", retryable=True
                )
            if time.monotonic() > end_s:
                raise EngineError(f"the model server is not ready within {s:g} s: {_tail(log)}", retryable=True)
            time.sleep(_POLL_S)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
    # SIGKILL also went to what the server left behind.


def _tail(log: BinaryIO) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _TAIL_BYTES))
    return " ".join(log.read().decode("utf-8", "replace").split())


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
