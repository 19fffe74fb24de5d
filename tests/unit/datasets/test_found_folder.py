"""Folders as people have them: what else lies in them, how they are linked, how their files are named."""

import json
import os
from pathlib import Path

import pytest
from tests.fakes.unprivileged import unprivileged
from tests.unit.datasets.conftest import png, row, sample
from tests.unit.datasets.jsonl_rows import ids, lines

from visionthink.datasets import open_source
from visionthink.datasets.parquet import write_samples
from visionthink.errors import DataError, UserError
from visionthink.storage import PermissionDeniedError

OLD = json.dumps(row(9, {"images": "0.png"}))


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints/t-checkpoint.jsonl",
        "._t.jsonl",
        ".t.jsonl.swp",
        ".#t.jsonl",
        "#t.jsonl#",
        "t.jsonl~",
        "t.jsonl.tmp",
        "t.jsonl.crdownload",
        "t (1).jsonl",
        "t - Copy.jsonl",
        "t-checkpoint.jsonl",
        ".git/objects/aa/t.jsonl",
        ".Trash-1000/files/t.jsonl",
        "__MACOSX/t.jsonl",
        "__MACOSX/._t.jsonl",
        "_temporary/0/t.jsonl",
        "_SUCCESS",
        ".DS_Store",
        "Thumbs.db",
        ".tmp-0123/t.jsonl",
    ],
)
def test_what_is_no_data_is_left_out_and_said(tmp_path: Path, name: str) -> None:
    lines(tmp_path / "t.jsonl", 0, 1)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(OLD)
    source = open_source(tmp_path)
    assert [one.id for one in source] == ["doc-0", "doc-1"]
    (told,) = source.report().lines()
    assert "1 jsonl file, an unknown number of rows" in told
    assert "left out: " in told and name.split("/")[0] in told


def test_twin_of_macos_beside_a_parquet_file_is_left_out(tmp_path: Path) -> None:
    write_samples(tmp_path / "a.parquet", [sample(0)])
    (tmp_path / "._a.parquet").write_bytes(b"\x00\x05\x16\x07" + bytes(100))
    source = open_source(tmp_path)
    assert list(source) == [sample(0)]
    assert list(source.report().lines()) == [f"data: {tmp_path}: 1 parquet file, 1 row; left out: ._a.parquet (hidden)"]


def test_marks_of_spark_beside_parquet_files_are_left_out(tmp_path: Path) -> None:
    for number in range(2):
        write_samples(tmp_path / f"part-0000{number}-ab12-c000.snappy.parquet", [sample(number)])
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "._SUCCESS.crc").touch()
    (tmp_path / "_metadata").write_bytes(b"PAR1")
    (tmp_path / "_delta_log").mkdir()
    write_samples(tmp_path / "_delta_log" / "00000000000000000010.checkpoint.parquet", [sample(7)])
    assert list(open_source(tmp_path)) == [sample(0), sample(1)]


def test_hidden_folder_that_the_user_names_is_read(tmp_path: Path) -> None:
    lines(tmp_path / ".cache" / "t.jsonl", 0)
    assert ids(tmp_path / ".cache") == ids(tmp_path / ".cache" / "t.jsonl") == ["doc-0"]


def test_hidden_file_that_the_user_names_is_read(tmp_path: Path) -> None:
    assert ids(lines(tmp_path / ".t.jsonl", 0)) == ["doc-0"]
    with pytest.raises(DataError, match=r"does not exist or is empty but for 0.png|neither parquet"):
        open_source(tmp_path)


def test_hidden_folder_that_is_closed_is_not_looked_into(tmp_path: Path) -> None:
    lines(tmp_path / "t.jsonl", 0)
    (tmp_path / ".Trash").mkdir(mode=0)
    with unprivileged():
        assert ids(tmp_path) == ["doc-0"]


def test_mount_of_kubernetes_is_read_once(tmp_path: Path) -> None:
    real = tmp_path / "..2024_06_01_12_00_00.123"
    lines(real / "t.jsonl", 0)
    lines(real / "sub" / "u.jsonl", 1)
    (tmp_path / "..data").symlink_to(real.name)
    for name in ("t.jsonl", "0.png", "sub"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    assert ids(tmp_path) == ["doc-1", "doc-0"]
    assert ids(tmp_path / "t.jsonl") == ["doc-0"]


def snapshot(home: Path, **files: bytes) -> Path:
    """A snapshot in Hugging Face's cache: names with "__" for "/"."""
    repository = home / "datasets--mine"
    folder = repository / "snapshots" / "abc123"
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder.joinpath(*name.replace("_DOT_", ".").split("__"))
        blob = repository / "blobs" / f"{abs(hash(data)):x}"
        blob.write_bytes(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(blob, path.parent))
    return folder


def test_snapshot_of_hugging_face_is_read_with_its_pictures(tmp_path: Path) -> None:
    rows = json.dumps(row(0, {"images": "images/0.png"})).encode()
    folder = snapshot(tmp_path, t_DOT_jsonl=rows, images__0_DOT_png=png(0), README_DOT_md=b"about")
    want = [sample(0)]
    assert list(open_source(folder)) == want
    assert list(open_source(folder / "t.jsonl")) == want
    assert list(open_source(tmp_path / "datasets--mine", images=folder)) == want


def test_snapshot_of_parquet_is_read_by_split(tmp_path: Path) -> None:
    write_samples(tmp_path / "a", [sample(0)])
    write_samples(tmp_path / "b", [sample(1)])
    folder = snapshot(
        tmp_path,
        **{
            "data__train-00000-of-00001_DOT_parquet": (tmp_path / "a").read_bytes(),
            "data__test-00000-of-00001_DOT_parquet": (tmp_path / "b").read_bytes(),
        },
    )
    assert list(open_source(folder, split="test")) == [sample(1)]
    assert list(open_source(folder / "data" / "train-00000-of-00001.parquet")) == [sample(0)]


def test_several_snapshots_are_refused(tmp_path: Path) -> None:
    folder = snapshot(tmp_path, t_DOT_jsonl=OLD.encode())
    lines(folder.parent / "def456" / "t.jsonl", 0)
    with pytest.raises(DataError, match="holds 2 snapshots; name the folder of one"):
        open_source(folder.parent.parent)


def test_link_that_the_user_names_is_followed(tmp_path: Path) -> None:
    blob = lines(tmp_path / "blobs" / "x", 0)
    (tmp_path / "snap" / "abc").mkdir(parents=True)
    link = tmp_path / "snap" / "abc" / "t.jsonl"
    link.symlink_to("../../blobs/x")
    (link.parent / "0.png").write_bytes(png(0))
    assert blob.is_file() and ids(link) == ["doc-0"]
    (tmp_path / "alias").symlink_to("snap/abc")
    assert ids(tmp_path / "alias") == ["doc-0"], "the folder is a link"
    (tmp_path / "again.jsonl").symlink_to(link)
    (tmp_path / "0.png").write_bytes(png(0))
    assert ids(tmp_path / "again.jsonl") == ["doc-0"], "a link to a link"


def test_picture_that_a_row_names_does_not_lead_out(tmp_path: Path) -> None:
    path = lines(tmp_path / "d" / "t.jsonl", 0)
    (tmp_path / "secret.png").write_bytes(png(5))
    (tmp_path / "d" / "0.png").unlink()
    (tmp_path / "d" / "0.png").symlink_to("../secret.png")
    for place in (path, path.parent):
        with pytest.raises(UserError, match=r"line 1 of t.jsonl: key '0.png' leads out of .* through a link"):
            ids(place)


def test_row_cannot_name_the_data_file_s_link_as_its_picture(tmp_path: Path) -> None:
    lines(tmp_path / "blobs" / "x", 0)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "t.jsonl").symlink_to("../blobs/x")
    (tmp_path / "blobs" / "x").write_text(json.dumps(row(0, {"images": "t.jsonl"})))
    for place in (tmp_path / "d", tmp_path / "d" / "t.jsonl"):
        with pytest.raises(UserError, match=r"key 't.jsonl' leads out of"):
            ids(place)


def test_file_that_several_links_lead_to_is_read_once(tmp_path: Path) -> None:
    lines(tmp_path / "d" / "t.jsonl", 0)
    (tmp_path / "d" / "latest.jsonl").symlink_to("t.jsonl")
    (tmp_path / "d" / "a.jsonl").symlink_to(tmp_path / "d" / "t.jsonl")
    (tmp_path / "d" / "self").symlink_to(".")
    source = open_source(tmp_path / "d")
    assert [one.id for one in source] == ["doc-0"]
    assert "2 (the same file as t.jsonl, such as a.jsonl)" in next(iter(source.report().lines()))


def test_link_to_a_folder_elsewhere_is_not_followed_but_said(tmp_path: Path) -> None:
    lines(tmp_path / "elsewhere" / "u.jsonl", 1)
    lines(tmp_path / "d" / "t.jsonl", 0)
    (tmp_path / "d" / "more").symlink_to(tmp_path / "elsewhere")
    source = open_source(tmp_path / "d")
    assert [one.id for one in source] == ["doc-0"]
    assert "more (a link to a folder elsewhere)" in next(iter(source.report().lines()))


def test_links_in_a_circle_are_left_alone(tmp_path: Path) -> None:
    lines(tmp_path / "t.jsonl", 0)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "up").symlink_to("..")
    assert ids(tmp_path) == ["doc-0"]


def two_splits(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    write_samples(folder / "data" / "train-00000-of-00001.parquet", [sample(0)])
    write_samples(folder / "data" / "test-00000-of-00001.parquet", [sample(1)])
    return folder


def test_splits_of_parquet_files_are_never_mixed(tmp_path: Path) -> None:
    two_splits(tmp_path)
    with pytest.raises(DataError, match=r"holds test \(test-00000-of-00001.parquet\), train \(train-.*never mixed"):
        open_source(tmp_path)
    source = open_source(tmp_path, split="train")
    assert list(source) == [sample(0)]
    (told,) = source.report().lines()
    assert "1 parquet file, 1 row, split train; left out: data/test-00000-of-00001.parquet (another split)" in told
    assert list(open_source(tmp_path, split="test")) == [sample(1)]
    with pytest.raises(DataError, match="no split 'validation'; it holds test"):
        open_source(tmp_path, split="validation")


@pytest.mark.parametrize("other", ["val.jsonl", "dev/0.jsonl", "data/validation/part.jsonl", "test (held out).jsonl"])
def test_splits_of_jsonl_files_are_never_mixed(tmp_path: Path, other: str) -> None:
    lines(tmp_path / "train.jsonl", 0)
    lines(tmp_path / other, 1)
    with pytest.raises(DataError, match="never mixed"):
        open_source(tmp_path)
    assert ids(tmp_path, split="train") == ["doc-0"]


def test_only_split_needs_no_name_and_is_said(tmp_path: Path) -> None:
    lines(tmp_path / "test.jsonl", 0)
    source = open_source(tmp_path)
    assert [one.id for one in source] == ["doc-0"]
    assert "rows, split test" in next(iter(source.report().lines()))


def test_named_file_is_read_with_the_split_that_it_is(tmp_path: Path) -> None:
    path = lines(tmp_path / "train.jsonl", 0)
    lines(tmp_path / "test.jsonl", 1)
    assert ids(path) == ids(path, split="train") == ["doc-0"]
    with pytest.raises(DataError, match="no split 'test'"):
        open_source(path, split="test")


def test_splits_may_be_in_different_formats(tmp_path: Path) -> None:
    lines(tmp_path / "test.jsonl", 1)
    write_samples(tmp_path / "train.parquet", [sample(0)])
    assert ids(tmp_path, split="train") == ["doc-0"]
    assert ids(tmp_path, split="test") == ["doc-1"]


def test_set_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    write_samples(tmp_path / "train-00000-of-00003.parquet", [sample(0)])
    write_samples(tmp_path / "train-00002-of-00003.parquet", [sample(2)])
    with pytest.raises(DataError, match=r"train lacks 1 of 3 files \(00001\)"):
        open_source(tmp_path)
    assert ids(tmp_path / "train-00000-of-00003.parquet") == ["doc-0"], "a named file is read alone"
    write_samples(tmp_path / "train-00001-of-00003.parquet", [sample(1)])
    assert ids(tmp_path) == ["doc-0", "doc-1", "doc-2"]


def test_closed_file_is_called_closed(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", 0)
    path.chmod(0)
    with (
        unprivileged(),
        pytest.raises(PermissionDeniedError, match=r"t.jsonl: permission denied: let this user read it"),
    ):
        open_source(path)


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    lines(tmp_path / "t.jsonl", 0)
    os.mkfifo(tmp_path / "u.jsonl")
    assert ids(tmp_path) == ["doc-0"]


def test_table_that_is_not_read_is_said(tmp_path: Path) -> None:
    lines(tmp_path / "t.jsonl", 0)
    for name in ("u.jsonl.gz", "u.csv", "README.md"):
        (tmp_path / name).touch()
    source = open_source(tmp_path)
    assert [entry.key for entry in source.report().left_out] == ["u.csv", "u.jsonl.gz"]
    assert "2 (not parquet or JSONL, such as u.csv)" in next(iter(source.report().lines()))


def test_lines_are_short_whatever_lies_in_the_folder(tmp_path: Path) -> None:
    lines(tmp_path / "t.jsonl", 0)
    for number in range(50):
        (tmp_path / f".{'x' * 200}{number}").touch()
        (tmp_path / f"{'y' * 200}{number}.jsonl~").touch()
    assert all(len(line) < 400 for line in open_source(tmp_path).report().lines())
