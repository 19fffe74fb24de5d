"""The rules that every test runs under.

1. No test outside `e2e` and `cluster` reaches another machine: a connection or a name look-up raises
   `NetworkForbiddenError`, which no library mistakes for a server that is merely down. Code below Python (uvloop,
   gRPC) and child processes are not seen.
2. One thread for numerics, set before anything loads torch: results repeat, and tests run beside other work.
3. Nothing phones home: model hubs are offline, telemetry is off.
4. Golden files are compared by the `golden` fixture and rewritten by `make golden` only.
"""

import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest

os.environ |= {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "MKL_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

hypothesis.settings.register_profile("local", deadline=None)
# The same examples on every run: a red build is red for its change, and the printed blob replays it.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "local"))

_TESTS = Path(__file__).parent


class NetworkForbiddenError(Exception):
    """A test outside `e2e` tried to reach another machine."""


class NetworkGuard:
    """An audit hook that refuses addresses of other machines while `closed`.

    An audit hook sees every socket of the interpreter, whoever made it, and cannot be undone by a test.
    """

    def __init__(self) -> None:
        self.closed = True
        self._own_names = {None, "", b"", "localhost", socket.gethostname()}

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        """Raises `NetworkForbiddenError` for a socket event that names another machine."""
        if not self.closed:
            return
        if event in {"socket.connect", "socket.sendto"} and isinstance(args[1], tuple):
            self._refuse_remote(args[1][0])
        elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
            self._refuse_remote(args[0])

    def _refuse_remote(self, host: object) -> None:
        if isinstance(host, bytes):
            host = host.decode("ascii", "replace")
        if host in self._own_names:
            return
        try:
            address = ipaddress.ip_address(str(host).split("%")[0])
        except ValueError:
            address = None
        if address is None or not (address.is_loopback or address.is_unspecified):
            raise NetworkForbiddenError(f"a test reached for {host!r}: use a local server, or mark the test e2e")


_GUARD = pytest.StashKey[NetworkGuard]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite the golden files instead of comparing with them")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_GUARD] = NetworkGuard()
    sys.addaudithook(config.stash[_GUARD])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what the folder and the fixtures of a test already say."""
    # Coverage would have every new thread install its trace function; two that do so at the same moment end one of them
    # (CPython 3.11: "Cannot install a trace function while another trace function is being installed"). What is
    # measured, the core, is tested on the main thread.
    threading.settrace(None)
    for item in items:
        if _TESTS / "e2e" in item.path.parents:
            item.add_marker(pytest.mark.e2e)
        if "golden" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.golden)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    guard = item.config.stash[_GUARD]
    guard.closed = not any(map(item.get_closest_marker, ("e2e", "cluster")))
    try:
        return (yield)
    finally:
        guard.closed = True


class Golden(Protocol):
    """Compares a text with the golden file `tests/golden/NAME`, or rewrites the file under `--golden`."""

    def __call__(self, name: str, text: str) -> None: ...


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """What the code makes now against what was reviewed: `golden("pipeline.yaml", compiled_text)`."""

    def compare(name: str, text: str) -> None:
        path = _TESTS / "golden" / name
        if request.config.getoption("--golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"{path} is missing: `make golden` writes it"
        assert text == path.read_text(encoding="utf-8"), f"{path} differs: `make golden`, then read the diff"

    return compare


def _python_of(variable: str, make_target: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: `make test` or `make {make_target}` provides it")
    return Path(value)


@pytest.fixture(scope="session")
def verl_python() -> Path:
    """The interpreter that can import veRL, the oracle of our GRPO maths."""
    return _python_of("VISIONTHINK_VERL_PYTHON", "setup-verl")


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """The interpreter that can run vLLM on a CPU."""
    return _python_of("VISIONTHINK_VLLM_PYTHON", "setup-vllm")


@pytest.fixture(scope="session")
def lmms_python() -> Path:
    """The interpreter that can run lmms-eval with our model."""
    return _python_of("VISIONTHINK_LMMS_PYTHON", "setup-lmms")
