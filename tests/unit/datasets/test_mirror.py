"""Copies of public sets: read back as they were published, gone on with, never mixed."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from tests.fakes.published_rows import ROWS, picture, with_pictures, write_rows

from visionthink.cli.app import run_command
from visionthink.core.sample import Sample
from visionthink.datasets import open_source
from visionthink.datasets.mirror import mirror
from visionthink.datasets.published import PUBLISHED
from visionthink.errors import DataError, StorageError
from visionthink.storage import LocalStore, verify


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def published(name: str, tmp_path: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    """A folder such as a repository on the hub: files in a folder of the subset, which the card names."""
    one = PUBLISHED[name]
    subset, folder = one.subset or "default", tmp_path / "hub" / name
    write_rows(rows or with_pictures(name, ROWS[name]), folder / "set" / f"{one.split}-00000-of-00001.parquet")
    files = f"  - split: {one.split}\n    path: set/{one.split}-*"
    card = f'---\nconfigs:\n- config_name: "{subset}"\n  data_files:\n{files}\n---\n'
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def many(num_rows: int) -> list[dict[str, Any]]:
    (first, _) = ROWS["pope"]
    return [
        {**first, "id": str(number), "image": {"bytes": picture(number), "path": f"{number}.jpg"}}
        for number in range(num_rows)
    ]


def samples(name: str, place: Path) -> list[Sample]:
    return list(open_source(place, schema=PUBLISHED[name].schema, split=PUBLISHED[name].split))


class Failing(LocalStore):
    """A store that fails after some uploads."""

    def __init__(self, root: Path, num_left: int = 1) -> None:
        super().__init__(root)
        self.__dict__.update(num_left=num_left, uploaded=[])

    def upload(self, key: str, path: Path) -> None:
        if self.__dict__["num_left"] == len(self.uploaded):
            raise StorageError("the power is gone", retryable=True)
        self.uploaded.append(key)
        super().upload(key, path)

    @property
    def uploaded(self) -> list[str]:
        found: list[str] = self.__dict__["uploaded"]
        return found


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_copy_reads_as_the_published_set(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, copy = published(name, tmp_path), tmp_path / "copy"
    assert run_command(["benchmarks", "mirror", name, str(copy), "--from", str(source)]) == 0
    assert f"--set evaluate.benchmark={name} --set data.eval_source={copy}" in capsys.readouterr().out
    want, got = samples(name, source), samples(name, copy)
    if not want[0].id.endswith(":0"):  # an id of its own, and not that of its file
        assert [one.id for one in got] == [one.id for one in want]
    assert [(one.question, one.answers, one.picture, one.details) for one in got] == [
        (one.question, one.answers, one.picture, one.details) for one in want
    ]
    assert list(verify(copy).files) == [f"{PUBLISHED[name].split}-00000-of-00001.parquet"]
    assert "left out" not in " ".join(open_source(copy, schema=PUBLISHED[name].schema).report().lines())


def test_copy_holds_pictures_that_the_set_keeps_in_files(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "test"
    folder.mkdir(parents=True)
    (folder / "0.jpg").write_bytes(picture(0))
    (row, _) = ROWS["pope"]
    (folder / "metadata.jsonl").write_text(json.dumps({**row, "file_name": "0.jpg"}))
    mirror(PUBLISHED["pope"], LocalStore(tmp_path / "copy"), source=str(tmp_path / "hub"), say=print)
    (folder / "0.jpg").unlink()
    assert [one.picture for one in samples("pope", tmp_path / "copy")] == [picture(0)]


def test_copy_keeps_the_columns_that_nobody_reads(tmp_path: Path) -> None:
    mirror(PUBLISHED["pope"], LocalStore(tmp_path / "copy"), source=str(published("pope", tmp_path)), say=print)
    found = datasets.load_dataset("parquet", data_files=str(tmp_path / "copy" / "*.parquet"), split="train")
    assert {"image_source", "question_id"} <= set(found.column_names)


def test_copy_that_was_cut_off_goes_on_behind_its_last_file(tmp_path: Path) -> None:
    source = str(published("pope", tmp_path, many(7)))
    store = Failing(tmp_path / "copy", num_left=2)
    with pytest.raises(StorageError, match="power"):
        mirror(PUBLISHED["pope"], store, source=source, rows_per_file=2, say=print)
    assert store.uploaded == ["test-00000-of-00004.parquet", "test-00001-of-00004.parquet"]
    assert not store.exists("manifest.json")
    with pytest.raises(DataError, match=r"2 of 4|00002"):  # half a copy is not read
        samples("pope", tmp_path / "copy")
    store = Failing(tmp_path / "copy", num_left=9)
    manifest = mirror(PUBLISHED["pope"], store, source=source, rows_per_file=2, say=print)
    assert store.uploaded == ["test-00002-of-00004.parquet", "test-00003-of-00004.parquet"]
    assert [one.id for one in samples("pope", tmp_path / "copy")] == [str(number) for number in range(7)]
    whole = mirror(PUBLISHED["pope"], LocalStore(tmp_path / "whole"), source=source, rows_per_file=2, say=print)
    assert manifest == whole == verify(tmp_path / "copy")


def test_copy_that_is_complete_is_left_as_it_is(tmp_path: Path) -> None:
    source, store = str(published("pope", tmp_path)), Failing(tmp_path / "copy")
    manifest = mirror(PUBLISHED["pope"], store, source=source, say=print)
    assert mirror(PUBLISHED["pope"], store, source=source, say=print) == manifest
    assert len(store.uploaded) == 1


@pytest.mark.parametrize("is_complete", [True, False])
def test_copies_of_two_sets_are_never_mixed(is_complete: bool, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "copy")
    mirror(PUBLISHED["pope"], store, source=str(published("pope", tmp_path)), say=print)
    if not is_complete:
        (tmp_path / "copy" / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"is no part of .*vstar \(test\) but of .*pope.*name an empty folder"):
        mirror(PUBLISHED["vstar"], store, source=str(published("vstar", tmp_path)), say=print)


def test_files_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "test-00000-of-00001.parquet").write_bytes(b"mine")
    with pytest.raises(DataError, match="but of something else"):
        mirror(PUBLISHED["pope"], LocalStore(tmp_path / "copy"), source=str(published("pope", tmp_path)), say=print)
    assert (tmp_path / "copy" / "test-00000-of-00001.parquet").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        pytest.param({"answer": None}, r"row 0 of .*: column 'answer' \(the right answer\) is empty", id="a gap"),
        pytest.param({"question": {"a": 1}}, "column 'question' must hold a text", id="another type"),
    ],
)
def test_set_that_is_not_as_published_is_refused_before_anything_is_written(
    changed: dict[str, Any], error: str, tmp_path: Path
) -> None:
    rows = [{**row, **changed} for row in many(2)]
    with pytest.raises(DataError, match=error):
        mirror(
            PUBLISHED["pope"],
            LocalStore(tmp_path / "copy"),
            source=str(published("pope", tmp_path, rows)),
            say=print,
        )
    assert not (tmp_path / "copy").exists()


def test_other_set_at_the_address_is_refused(tmp_path: Path) -> None:
    source = str(published("pope", tmp_path))
    with pytest.raises(DataError, match="column 'text' is missing"):
        mirror(PUBLISHED["vstar"], LocalStore(tmp_path / "copy"), source=source, say=print)
    with pytest.raises(DataError, match=r"with the split 'testmini' .*check the address"):
        mirror(PUBLISHED["mathvista"], LocalStore(tmp_path / "copy"), source=source, say=print)


def test_hub_that_cannot_be_asked_is_no_fault_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"the hub cannot be asked for lmms-lab-encoder/POPE .*--from"):
        mirror(PUBLISHED["pope"], LocalStore(tmp_path / "copy"), say=print)


def test_unknown_benchmark_is_told_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["benchmarks", "mirror", "nope", "copy"]) == 2
    assert "there is no benchmark 'nope'; there are chartqa, docvqa" in capsys.readouterr().err


def test_list_tells_of_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["benchmarks", "list"]) == 0
    told = capsys.readouterr().out
    for name, one in PUBLISHED.items():
        assert f"\n{name}\n" in f"\n{told}" and one.hub_id in told
    assert "lmms-lab-encoder/MMBench (en), split dev" in told
    assert "columns  query_wo, image, answer, question_for_eval\n" in told
