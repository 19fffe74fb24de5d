"""Data sets and pictures in a real S3 server."""

import json
from pathlib import Path

import datasets
import pytest
from tests.contract.conftest import S3Server
from tests.fakes.published_rows import ROWS, with_pictures, write_rows
from tests.unit.datasets.conftest import png, row, sample

from visionthink.datasets import open_source
from visionthink.datasets.mirror import mirror
from visionthink.datasets.parquet import write_samples
from visionthink.datasets.published import PUBLISHED
from visionthink.errors import DataError, StorageError
from visionthink.storage import Store
from visionthink.storage.s3 import S3Store


@pytest.fixture
def store(s3: S3Server, request: pytest.FixtureRequest) -> Store:
    """An empty prefix; the environment leads there, so that `open_source` finds it by its URI."""
    return S3Store(client=request.getfixturevalue("s3_client"), bucket=s3.bucket, prefix=request.node.name)


def put_parquet(store: Store, key: str, folder: Path, numbers: range) -> None:
    write_samples(folder / "data.parquet", (sample(number) for number in numbers), row_group_bytes=1000)
    store.upload(key, folder / "data.parquet")


def test_parquet_is_read_in_ranges(store: Store, tmp_path: Path) -> None:
    put_parquet(store, "train/data.parquet", tmp_path, range(40))
    source = open_source(f"{store.uri}/train/data.parquet")
    assert source.num_rows == 40
    assert list(source) == [sample(number) for number in range(40)]


def test_prefix_of_shards_is_one_source(store: Store, tmp_path: Path) -> None:
    put_parquet(store, "train/1.parquet", tmp_path, range(2, 4))
    put_parquet(store, "train/0.parquet", tmp_path, range(2))
    assert [one.id for one in open_source(f"{store.uri}/train/")] == ["doc-0", "doc-1", "doc-2", "doc-3"]


def put_lines(store: Store, *images: str) -> str:
    lines = [json.dumps(row(number, {"images": image})) for number, image in enumerate(images)]
    store.write("rows.jsonl", "\n".join(lines).encode())
    return f"{store.uri}/rows.jsonl"


def test_jsonl_names_pictures_beside_it_and_by_uri(store: Store) -> None:
    store.write("scans/0.png", png(0))
    store.write("elsewhere/1 #?.png", png(1))
    uri = put_lines(store, "scans/0.png", f"{store.uri}/elsewhere/1 #?.png")
    assert list(open_source(uri)) == [sample(0), sample(1)]


def test_local_jsonl_may_have_its_pictures_in_s3(store: Store, tmp_path: Path) -> None:
    store.write("scans/0.png", png(0))
    (tmp_path / "rows.jsonl").write_text(json.dumps(row(0, {"images": "0.png"})))
    assert list(open_source(tmp_path / "rows.jsonl", images=f"{store.uri}/scans")) == [sample(0)]


def test_missing_picture_is_a_bad_row(store: Store) -> None:
    store.write("0.png", png(0))
    uri = put_lines(store, "0.png", "gone.png", f"{store.uri}/gone.png")
    source = open_source(uri, skip_bad=True)
    assert list(source) == [sample(0)]
    assert source.skipped.num_skipped == 2
    assert "line 2 of rows.jsonl: there is no picture 'gone.png' in s3://" in source.skipped.examples[0]


def test_row_may_name_no_bucket_but_those_that_were_opened(store: Store, tmp_path: Path) -> None:
    store.write("0.png", png(0))
    uri = put_lines(store, "s3://another-bucket/0.png", f"{store.uri}/0.png")
    source = open_source(uri, skip_bad=True)
    assert [one.id for one in source] == ["doc-1"]
    assert "lies in a bucket that was not opened; set data.images to s3://another-bucket" in source.skipped.examples[0]
    (tmp_path / "rows.jsonl").write_text(json.dumps(row(0, {"images": f"{store.uri}/0.png"})))
    with pytest.raises(DataError, match="a bucket that was not opened"):
        list(open_source(tmp_path / "rows.jsonl"))
    assert list(open_source(tmp_path / "rows.jsonl", images=store.uri)) == [sample(0)]


def test_bucket_of_the_data_may_be_named_beside_another_place_of_pictures(store: Store, tmp_path: Path) -> None:
    store.write("0.png", png(0))
    (tmp_path / "1.png").write_bytes(png(1))
    uri = put_lines(store, f"{store.uri}/0.png", "1.png")
    assert list(open_source(uri, images=tmp_path)) == [sample(0), sample(1)]


def test_missing_bucket_is_no_bad_row(tmp_path: Path, s3: S3Server) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row(0, {"images": "0.png"})))
    with pytest.raises(StorageError, match="make the bucket"):
        list(open_source(tmp_path / "rows.jsonl", images="s3://no-such-bucket", skip_bad=True))


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("Screenshot 9.41\u202fAM.png", "Screenshot 9.41\u202fAM.png"),
        ("Sn\u00edmek v\u00a013.05.png", "Sn\u00edmek v\u00a013.05.png"),
        ("Sni\u0301mek.png", "Sn\u00edmek.png"),
        ("a/b.png", "./a//b.png"),
    ],
    ids=["narrow blank", "blank that does not break", "decomposed", "dots and slashes"],
)
def test_picture_is_found_as_people_write_it(store: Store, key: str, written: str) -> None:
    store.write(key, png(0))
    assert list(open_source(put_lines(store, written))) == [sample(0)]


def test_what_is_no_data_is_left_out(store: Store, tmp_path: Path) -> None:
    put_parquet(store, "d/a.parquet", tmp_path, range(1))
    for key in (
        "d/._a.parquet",
        "d/.ipynb_checkpoints/a-checkpoint.parquet",
        "d/_SUCCESS",
        "d/a (1).parquet",
        "d/a.parquet~",
    ):
        store.write(key, b"no parquet")
    source = open_source(f"{store.uri}/d")
    assert [one.id for one in source] == ["doc-0"]
    assert {entry.key for entry in source.report().left_out} >= {"._a.parquet", "_SUCCESS", "a (1).parquet"}


def test_splits_are_never_mixed(store: Store, tmp_path: Path) -> None:
    put_parquet(store, "d/train-00000-of-00001.parquet", tmp_path, range(1))
    put_parquet(store, "d/test-00000-of-00001.parquet", tmp_path, range(1, 2))
    with pytest.raises(DataError, match="never mixed"):
        open_source(f"{store.uri}/d")
    assert [one.id for one in open_source(f"{store.uri}/d", split="test")] == ["doc-1"]


def test_server_that_fails_within_a_parquet_file_is_a_storage_error(store: Store, tmp_path: Path) -> None:
    many = [sample(number, bytes(100_000)) for number in range(40)]
    write_samples(tmp_path / "data.parquet", many)
    store.upload("data.parquet", tmp_path / "data.parquet")
    source = iter(open_source(f"{store.uri}/data.parquet", check_pictures=False))
    assert next(source) == many[0]
    store.write("data.parquet", b"somebody replaced it")
    with pytest.raises(StorageError, match="PreconditionFailed"):
        list(source)


def test_missing_object_is_a_data_error(store: Store) -> None:
    with pytest.raises(DataError, match=r"gone.parquet does not exist or is empty"):
        open_source(f"{store.uri}/gone.parquet")


def test_saved_hugging_face_set_must_lie_on_a_disk(store: Store) -> None:
    for name in ("dataset_info.json", "state.json"):
        store.write(name, b"{}")
    with pytest.raises(DataError, match="must lie on a disk; copy the folder first"):
        open_source(store.uri)


def test_public_set_is_copied_to_a_bucket_and_read_from_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "hub").mkdir()
    write_rows(with_pictures("pope", ROWS["pope"]), tmp_path / "hub" / "test-00000-of-00001.parquet")
    pope = PUBLISHED["pope"]
    manifest = mirror(pope, store, source=str(tmp_path / "hub"), rows_per_file=1, say=print)
    assert list(manifest.files) == ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]
    assert [one.answer for one in open_source(store.uri, schema=pope.schema)] == ["yes", "no"]
    assert mirror(pope, store, source=str(tmp_path / "hub"), rows_per_file=1, say=print) == manifest
