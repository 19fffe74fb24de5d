"""A server that breaks off in the middle of what it sends."""

import hashlib
import random
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from visionthink.errors import StorageError
from visionthink.storage.s3 import S3Store, connect
from visionthink.storage.s3_body import NUM_BREAKS

DATA = random.Random(0).randbytes(700_000)


@dataclass
class Bucket:
    """One object, and where its replies break off: after so many bytes each, then no more."""

    data: bytes = DATA
    breaks: list[int] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    """What was asked for."""
    replaced_after: int | None = None
    """The number of replies after which somebody replaces the object."""

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'


class Server(ThreadingHTTPServer):
    bucket: Bucket


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._head(200, len(self.server.bucket.data))

    def do_GET(self) -> None:
        bucket = self.server.bucket
        wanted = self.headers.get("Range", "")
        bucket.ranges.append(wanted.removeprefix("bytes="))
        if self.headers.get("If-Match") not in (None, bucket.etag):
            self._head(412, 0)
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
        body = bucket.data[int(found[1]) : int(found[2]) + 1] if found else bucket.data
        self._head(206 if found else 200, len(body))
        self.wfile.write(body[: bucket.breaks.pop(0)] if bucket.breaks else body)
        if bucket.replaced_after == len(bucket.ranges):
            bucket.data = bucket.data[::-1]

    def _head(self, status: int, size_bytes: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(size_bytes))
        self.send_header("ETag", self.server.bucket.etag)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.bucket = Bucket()
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = connect(f"http://127.0.0.1:{server.server_address[1]}", max_attempts=1)
    yield S3Store(client=client, bucket="bucket")
    client.close()


@pytest.mark.parametrize(
    ("breaks", "want"),
    [
        pytest.param([], [""], id="whole"),
        pytest.param([1000], ["", "1000-699999"], id="once"),
        pytest.param([0], ["", "0-699999"], id="before the first byte"),
        pytest.param([300_000, 300_000], ["", "300000-699999", "600000-699999"], id="twice"),
        pytest.param([699_999], ["", "699999-699999"], id="before the last byte"),
    ],
)
def test_object_that_breaks_off_is_read_on_from_where_it_stood(
    server: Server, store: S3Store, breaks: list[int], want: list[str]
) -> None:
    server.bucket.breaks = breaks
    assert store.read("key") == DATA
    assert server.bucket.ranges == want


def test_range_that_breaks_off_is_read_on_from_where_it_stood(server: Server, store: S3Store) -> None:
    server.bucket.breaks = [100, 200]
    with store.open("key") as file:
        file.seek(5000)
        assert file.read() == DATA[5000:]
    assert server.bucket.ranges == ["5000-699999", "5100-699999", "5300-699999"]


def test_server_that_breaks_off_for_ever_is_given_up(server: Server, store: S3Store) -> None:
    server.bucket.breaks = [1] * 100
    with pytest.raises(StorageError, match="could not read s3://bucket/key") as caught:
        store.read("key")
    assert caught.value.retryable
    assert len(server.bucket.ranges) == NUM_BREAKS + 1


def test_object_that_was_replaced_while_it_broke_off_is_no_mixture(server: Server, store: S3Store) -> None:
    server.bucket.breaks, server.bucket.replaced_after = [1000], 1
    with pytest.raises(StorageError, match=r"PreconditionFailed|412"):
        store.read("key")
