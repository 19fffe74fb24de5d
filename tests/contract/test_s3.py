"""What only an S3 server can answer: strangers, missing buckets, silence, objects that change while they are read."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.conftest import S3Server

from visionthink.errors import StorageError
from visionthink.storage import NotFoundError, open_store
from visionthink.storage.s3 import S3Store, connect


def test_prefixes_do_not_see_each_other(s3: S3Server) -> None:
    one, two = open_store(f"s3://{s3.bucket}/team-a"), open_store(f"s3://{s3.bucket}/team-ab/")
    one.write("key", b"1")
    two.write("key", b"2")
    assert list(one.list()) == ["key"]
    assert (one.read("key"), two.read("key")) == (b"1", b"2")


def test_whole_bucket_is_a_store(s3: S3Server) -> None:
    open_store(f"s3://{s3.bucket}").write("at-the-top", b"1")
    assert open_store(f"s3://{s3.bucket}/").uri == f"s3://{s3.bucket}"
    assert "at-the-top" in set(open_store(f"s3://{s3.bucket}").list())


def test_endpoint_argument_beats_the_environment(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    store = open_store(f"s3://{s3.bucket}/argument", endpoint_url=s3.endpoint_url)
    store.write("key", b"1")
    assert store.exists("key")


def test_wrong_secret_is_refused_and_not_retried(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageError, match=r"SignatureDoesNotMatch .*set AWS_SECRET_ACCESS_KEY") as caught:
        open_store(f"s3://{s3.bucket}").read("key")
    assert not caught.value.retryable


def test_missing_credentials_are_named(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") as caught:
        open_store(f"s3://{s3.bucket}").read("key")
    assert not caught.value.retryable


def test_contradictory_settings_are_a_storage_error(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody-made-this")
    with pytest.raises(StorageError, match="nobody-made-this"):
        open_store(f"s3://{s3.bucket}")


def test_missing_bucket_is_named(s3: S3Server) -> None:
    with pytest.raises(StorageError, match=r"s3://no-such-bucket.*make the bucket") as caught:
        list(open_store("s3://no-such-bucket").list())
    assert not caught.value.retryable


def test_unreachable_server_is_retryable(s3: S3Server) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        store = S3Store(client=connect(url, max_attempts=1), bucket="bucket")
        with pytest.raises(StorageError, match="check that the server runs") as caught:
            store.read("key")
    assert caught.value.retryable


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_silent_server_is_given_up_after_bounded_tries(s3: S3Server, silent_server: str) -> None:
    store = S3Store(client=connect(silent_server, read_timeout_s=0.2, max_attempts=2), bucket="bucket")
    start = time.monotonic()
    with pytest.raises(StorageError, match="could not read s3://bucket/key: Read timeout") as caught:
        store.read("key")
    assert caught.value.retryable
    assert time.monotonic() - start < 10


def test_object_replaced_while_it_is_read_is_an_error(s3: S3Server) -> None:
    store = open_store(f"s3://{s3.bucket}/replaced")
    store.write("key", b"a" * (3 * 1024**2))
    with store.open("key") as file:
        file.read(10)
        store.write("key", b"b" * (3 * 1024**2))
        file.seek(2 * 1024**2)
        with pytest.raises(StorageError, match="PreconditionFailed"):
            file.read(10)


def test_failed_download_keeps_the_old_file(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NotFoundError):
        open_store(f"s3://{s3.bucket}").download("gone", tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"
