"""Every store keeps the same promises: a folder, and a bucket of a real S3 server."""

import io
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.conftest import S3Server

from visionthink.errors import StorageError, UserError
from visionthink.storage import NotFoundError, Store, fetch_tree, open_store, publish_tree
from visionthink.storage.s3 import S3Store

OpenStore = Callable[[str], Store]
_NUMBERS = itertools.count()


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "local":
        return open_store(tmp_path / "store")
    server: S3Server = request.getfixturevalue("s3_server")
    client = request.getfixturevalue("s3_client")
    return S3Store(client=client, bucket=server.bucket, prefix=f"contract-{next(_NUMBERS)}")


def test_store_reads_what_was_written(store: Store) -> None:
    store.write("shards/00.parquet", b"\x00\xffrows")
    assert store.read("shards/00.parquet") == b"\x00\xffrows"


def test_store_keeps_an_empty_object(store: Store) -> None:
    store.write("empty", b"")
    assert store.exists("empty")
    assert store.read("empty") == b""


def test_write_replaces(store: Store) -> None:
    store.write("key", b"a longer first version")
    store.write("key", b"second")
    assert store.read("key") == b"second"


def test_create_makes_an_object_once(store: Store) -> None:
    assert store.create("lock", b"first")
    assert not store.create("lock", b"second")
    assert store.read("lock") == b"first"


def test_create_has_one_winner_among_threads(store: Store) -> None:
    start = threading.Barrier(6)

    def race(number: int) -> bool:
        start.wait(timeout=30)
        return store.create("lock", str(number).encode())

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(race, range(6)))
    assert won.count(True) == 1
    assert store.read("lock") == str(won.index(True)).encode()


def test_exists_knows_objects_only(store: Store) -> None:
    assert not store.exists("folder/key")
    store.write("folder/key", b"1")
    assert store.exists("folder/key")
    assert not store.exists("folder")
    assert not store.exists("folder/ke")


def test_missing_object_is_not_found(store: Store, tmp_path: Path) -> None:
    store.write("folder/key", b"1")
    for key in ("gone", "folder", "folder/key/below"):
        for attempt in (store.read, store.open, lambda key: store.download(key, tmp_path / "copy")):
            with pytest.raises(NotFoundError, match=key) as caught:
                attempt(key)
            assert not caught.value.retryable
    assert not (tmp_path / "copy").exists()


def test_list_yields_sorted_keys_below_any_prefix(store: Store) -> None:
    for key in ("b/2", "a", "b/10", "b/1", "bc", "c/d/e"):
        store.write(key, b"")
    assert list(store.list()) == ["a", "b/1", "b/10", "b/2", "bc", "c/d/e"]
    assert list(store.list("b")) == ["b/1", "b/10", "b/2", "bc"]
    assert list(store.list("b/")) == ["b/1", "b/10", "b/2"]
    assert list(store.list("b/1")) == ["b/1", "b/10"]
    assert list(store.list("x/y")) == []


def test_list_of_more_than_one_page_is_whole(store: Store) -> None:
    want = [f"page/{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.write(key, b""), want))
    assert list(store.list("page/")) == want


def test_list_of_an_unused_store_is_empty(store: Store) -> None:
    assert list(store.list()) == []


@pytest.mark.parametrize(
    "key",
    [
        "plain",
        "with space",
        "ünïcödé/图",
        "a+b&c=d%20e",
        "dots.and.more..",
        "-dash",
        "#?",
        "9.41\u202fAM",
        "v\u00a013",
        "\u200f\u200d\ufe0f",
    ],
)
def test_key_of_unusual_characters_comes_back(store: Store, key: str) -> None:
    store.write(key, key.encode())
    assert store.read(key) == key.encode()
    assert list(store.list()) == [key]


_UPWARD_KEYS = ["", "/absolute", "../up", "a/../../up", "a//b", "a/", "./a"]
_UNWRITABLE_KEYS = ["nul\0", "line\nbreak", "\x7f", "\x85", "\ud800", ".tmp-1", "x" * 256, "/".join(["x" * 200] * 6)]


@pytest.mark.parametrize("key", [*_UPWARD_KEYS, *_UNWRITABLE_KEYS])
def test_bad_key_is_refused_by_every_call(store: Store, key: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"1")
    calls: list[Callable[[], object]] = [
        lambda: store.read(key),
        lambda: store.open(key),
        lambda: store.exists(key),
        lambda: store.write(key, b""),
        lambda: store.create(key, b""),
        lambda: store.upload(key, source),
        lambda: store.download(key, tmp_path / "copy"),
    ]
    for call in calls:
        with pytest.raises(UserError, match="use a relative path"):
            call()
    assert list(store.list()) == []


@pytest.mark.parametrize("prefix", ["../", "a/../", "/etc", "a//"])
def test_bad_prefix_is_refused(store: Store, prefix: str) -> None:
    with pytest.raises(UserError, match="use a relative path"):
        list(store.list(prefix))


def test_file_goes_in_and_out(store: Store, tmp_path: Path) -> None:
    data = random.Random(0).randbytes(20 * 1024**2)  # more than one part of a multipart upload
    (tmp_path / "in").write_bytes(data)
    store.upload("model/weights", tmp_path / "in")
    store.download("model/weights", tmp_path / "deep/er/out")
    assert (tmp_path / "deep/er/out").read_bytes() == data
    assert list(store.list()) == ["model/weights"]


def test_upload_of_a_missing_file_names_it(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no_such_file"):
        store.upload("key", tmp_path / "no_such_file")
    assert not store.exists("key")


def test_open_reads_any_part(store: Store) -> None:
    data = random.Random(1).randbytes(3 * 1024**2 + 17)
    store.write("key", data)
    with store.open("key") as file:
        assert file.seekable() and file.readable()
        assert file.read(10) == data[:10]
        assert file.seek(-7, io.SEEK_END) == len(data) - 7
        assert file.read() == data[-7:]
        assert file.read(5) == b""
        assert file.seek(2 * 1024**2) == 2 * 1024**2
        assert file.seek(5, io.SEEK_CUR) == file.tell() == 2 * 1024**2 + 5
        assert file.read(100) == data[2 * 1024**2 + 5 :][:100]
        file.seek(0)
        assert file.read() == data
        with pytest.raises((ValueError, OSError)):
            file.seek(-1)


def test_open_of_an_empty_object_reads_nothing(store: Store) -> None:
    store.write("empty", b"")
    with store.open("empty") as file:
        assert file.read() == b""


_PARTS = st.text("abcxyz019_-. é", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))


@given(
    objects=st.dictionaries(st.lists(_PARTS, min_size=1, max_size=3).map("/".join), st.binary(max_size=64), max_size=5)
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_written_is_listed_and_read_back(store: Store, objects: dict[str, bytes]) -> None:
    root = f"round-{next(_NUMBERS)}"
    # A folder cannot hold "a" beside "a/b"; keys of different depth get folders of their own.
    want = {f"{root}/{key.count('/')}/{key}": data for key, data in objects.items()}
    for key, data in want.items():
        store.write(key, data)
    assert {key: store.read(key) for key in store.list(f"{root}/")} == want


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A small checkpoint."""
    made = tmp_path / "checkpoint"
    (made / "tokenizer").mkdir(parents=True)
    (made / "weights.bin").write_bytes(bytes(range(256)))
    (made / "tokenizer" / "vocab.json").write_text("{}")
    yield made


def test_published_folder_comes_back_whole(store: Store, folder: Path, tmp_path: Path) -> None:
    manifest = publish_tree(store, "models/1", folder)
    assert list(store.list()) == ["models/1/manifest.json", "models/1/tokenizer/vocab.json", "models/1/weights.bin"]
    assert fetch_tree(store, "models/1", tmp_path / "copy") == manifest
    assert (tmp_path / "copy/weights.bin").read_bytes() == bytes(range(256))
    assert (tmp_path / "copy/manifest.json").read_bytes() == store.read("models/1/manifest.json")


def test_publishing_the_same_again_adopts_what_is_there(store: Store, folder: Path) -> None:
    assert publish_tree(store, "models/1", folder) == publish_tree(store, "models/1", folder)


def test_publishing_after_a_broken_first_try_finishes_it(store: Store, folder: Path, tmp_path: Path) -> None:
    store.write("models/1/weights.bin", b"half")
    publish_tree(store, "models/1", folder)
    fetch_tree(store, "models/1", tmp_path / "copy")


def test_published_prefix_never_changes(store: Store, folder: Path, tmp_path: Path) -> None:
    publish_tree(store, "models/1", folder)
    (folder / "weights.bin").write_bytes(b"other")
    with pytest.raises(StorageError, match=r"models/1 was published with other files .* under a new version"):
        publish_tree(store, "models/1", folder)
    assert store.read("models/1/weights.bin") == bytes(range(256))


def test_prefix_without_a_manifest_is_not_fetched(store: Store, folder: Path, tmp_path: Path) -> None:
    store.write("models/1/weights.bin", b"all there but the manifest")
    with pytest.raises(NotFoundError, match="models/1 is not complete"):
        fetch_tree(store, "models/1", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_damaged_object_is_not_fetched(store: Store, folder: Path, tmp_path: Path) -> None:
    publish_tree(store, "models/1", folder)
    store.write("models/1/weights.bin", b"x" * 256)
    with pytest.raises(StorageError, match="arrived other than") as caught:
        fetch_tree(store, "models/1", tmp_path / "copy")
    assert caught.value.retryable
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("checkpoint", "store")] == []


def test_manifest_cannot_lead_out_of_the_folder(store: Store, tmp_path: Path) -> None:
    entry = '{"size_bytes": 1, "sha256": "0"}'
    store.write("models/1/manifest.json", f'{{"files": {{"../../../evil": {entry}}}}}'.encode())
    with pytest.raises(UserError, match="evil"):
        fetch_tree(store, "models/1", tmp_path / "a/b/copy")
    assert not list(tmp_path.rglob("evil"))


def test_publishing_an_empty_folder_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="empty holds no file to publish"):
        publish_tree(store, "models/1", tmp_path / "empty")


def test_open_store_of_its_own_uri_is_the_same_store(store: Store, s3: S3Server) -> None:
    assert store.uri.startswith(("file:///", f"s3://{s3.bucket}/"))
    store.write("key", b"1")
    assert open_store(store.uri).read("key") == b"1"
