"""Any data set by its path: what is wrong is said early, bad rows can be skipped."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.datasets.conftest import png, row, sample

from visionthink.datasets import SkipReport, Source, SourceReport, open_source
from visionthink.datasets.parquet import write_samples
from visionthink.datasets.picture_folder import PictureFolder
from visionthink.datasets.row import Row
from visionthink.errors import DataError, UserError
from visionthink.storage import LocalStore

Rows = list[dict[str, object]]
Save = Callable[[Path, Rows], Path]


def save_parquet(folder: Path, rows: Rows) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
    return folder / "data.parquet"


def save_jsonl(folder: Path, rows: Rows) -> Path:
    lines = []
    for number, one in enumerate(rows):
        value = one["images"]
        assert isinstance(value, dict)
        (folder / f"{number}.png").write_bytes(value["bytes"])
        lines.append(json.dumps({**one, "images": f"{number}.png"}))
    (folder / "data.jsonl").write_text("\n".join(lines))
    return folder / "data.jsonl"


def save_hf_disk(folder: Path, rows: Rows) -> Path:
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_list(rows).cast_column("images", datasets.Image())
    data.save_to_disk(str(folder / "data"))
    return folder / "data"


@pytest.fixture(params=[save_parquet, save_jsonl, save_hf_disk], ids=lambda save: save.__name__)
def save(request: pytest.FixtureRequest) -> Save:
    function: Save = request.param
    return function


def picture(data: bytes) -> dict[str, object]:
    return {"images": {"bytes": data, "path": None}}


def test_every_format_gives_the_same_samples(tmp_path: Path, save: Save) -> None:
    source = open_source(save(tmp_path, [row(0), row(1), row(2)]))
    want = [sample(0), sample(1), sample(2)]
    assert list(source) == want
    assert list(source) == want, "a source is read from its start each time"
    assert source.num_rows in (3, None)


@pytest.mark.parametrize(
    ("data", "want"),
    [
        pytest.param(png()[:-60], "the PNG picture is corrupt or truncated", id="corrupt"),
        pytest.param(png(0, 40, 30), "40x30 = 1200 pixels, more than the limit of 1000", id="huge"),
        pytest.param(b"<html>", "are no picture", id="no picture"),
    ],
)
def test_bad_picture_names_the_row(tmp_path: Path, save: Save, data: bytes, want: str) -> None:
    source = open_source(save(tmp_path, [row(0), row(1, picture(data)), row(2)]), max_pixels=1000)
    samples = iter(source)
    assert next(samples) == sample(0)
    with pytest.raises(DataError, match=f"^(row 1|line 2) of data.*: .*{want}"):
        next(samples)


def test_bad_rows_are_skipped_counted_and_reported(
    tmp_path: Path, save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row(0), row(1, picture(b"<html>")), row(2, {"original_answer": " "}), row(3)]
    source = open_source(save(tmp_path, rows), skip_bad=True)
    with caplog.at_level(logging.WARNING):
        assert list(source) == [sample(0), sample(3)]
    assert source.skipped.num_skipped == 2
    assert ["are no picture" in source.skipped.examples[0], "is empty" in source.skipped.examples[1]] == [True, True]
    assert "skipped 2 bad rows of 4. The first: " in caplog.text
    assert list(source) == [sample(0), sample(3)]
    assert source.skipped.num_skipped == 2, "each reading counts anew"


def test_rows_left_out_are_told_also_when_the_reader_stops(
    tmp_path: Path, save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row(0), row(1, picture(b"<html>")), row(2), row(3, picture(b"<html>"))]
    source = open_source(save(tmp_path, rows), skip_bad=True)
    with caplog.at_level(logging.WARNING):
        assert list(islice(source, 2)) == [sample(0), sample(2)]
    assert (source.skipped.num_skipped, source.skipped.num_read) == (1, 2)
    assert caplog.text.count("skipped 1 bad rows of 3. The first: ") == 1
    assert [line.partition(": ")[2] for line in source.report().lines()][1].startswith("skipped 1 bad rows of 3")


def test_rows_left_out_are_told_to_whom_it_is_wanted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    rows = [row(0), row(1, {"original_answer": None})]
    source = open_source(save_parquet(tmp_path, rows), skip_bad=True, say=told.append)
    assert source.first() == sample(0)
    assert told == []
    list(source)
    assert len(told) == 1 and told[0].endswith(
        "column 'original_answer' (the right answer) is empty; fill it or drop the row"
    )
    assert caplog.text == ""


def test_report_says_what_is_read(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path, [row(0), row(1)])
    report = open_source(path).report()
    assert report.num_rows in (2, None) and report.split is None and report.left_out == ()
    (line,) = report.lines()
    rows = "2 rows" if report.num_rows else "an unknown number of rows"
    what = "a saved data set" if save is save_hf_disk else f"1 {path.suffix[1:]} file"
    assert line == f"data: {path}: {what}, {rows}"


def test_good_source_reports_nothing(tmp_path: Path, save: Save, caplog: pytest.LogCaptureFixture) -> None:
    source = open_source(save(tmp_path, [row(0)]), skip_bad=True)
    list(source)
    assert source.skipped == SkipReport()
    assert caplog.text == ""


def test_report_keeps_the_first_examples_only(tmp_path: Path) -> None:
    rows = [row(number, {"original_answer": ""}) for number in range(30)]
    source = open_source(save_parquet(tmp_path, [*rows, row(30)]), skip_bad=True)
    list(source)
    assert source.skipped.num_skipped == 30
    assert len(source.skipped.examples) == 20
    assert source.skipped.examples[0].startswith("row 0 of data.parquet")


def test_source_of_bad_rows_alone_is_an_error(tmp_path: Path, save: Save) -> None:
    source = open_source(save(tmp_path, [row(0, {"problem": ""}), row(1, picture(b"x"))]), skip_bad=True)
    with pytest.raises(DataError, match=r"all 2 rows are bad\. The first: (row 0|line 1) of data"):
        list(source)


def test_unchecked_pictures_pass(tmp_path: Path) -> None:
    source = open_source(save_parquet(tmp_path, [row(0, picture(b"x"))]), check_pictures=False)
    assert [one.picture for one in source] == [b"x"]


def test_repeated_ids_are_told_apart_in_order(tmp_path: Path) -> None:
    rows = [row(0, {"doc_id": name}) for name in ("a", "b", "a", "a#2", "a")]
    got = [one.id for one in open_source(save_parquet(tmp_path, rows))]
    assert got == ["a", "b", "a#2", "a#2#2", "a#3"]


class Repeated:
    """A set of rows that all have one id."""

    name, num_rows = "repeated", 20_000

    def __iter__(self) -> Iterator[Row]:
        values = row(0, {"doc_id": "same"})
        return (Row(name="row", default_id="r:0", values=values) for _ in range(self.num_rows))


def test_many_equal_ids_take_no_longer_than_others(tmp_path: Path) -> None:
    report = SourceReport(name="repeated", format="jsonl", num_files=1, num_rows=None, split=None)
    pictures = PictureFolder(LocalStore(tmp_path))
    source = Source(Repeated(), pictures, report, skip_bad=False, check_pictures=False, max_pixels=1)
    start_s = time.monotonic()
    got = [one.id for one in source]
    assert (got[:2], got[-1], len(set(got))) == (["same", "same#2"], "same#20000", 20_000)
    assert time.monotonic() - start_s < 20, "looking for a free number anew each time takes minutes"


def test_empty_parquet_is_refused_at_once(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([row()])[:0], tmp_path / "data.parquet")
    with pytest.raises(DataError, match=r"data.parquet holds no rows"):
        open_source(tmp_path / "data.parquet")


def test_empty_saved_set_is_refused_at_once(tmp_path: Path) -> None:
    datasets.disable_progress_bars()
    datasets.Dataset.from_list([row()]).select([]).save_to_disk(str(tmp_path / "data"))
    with pytest.raises(DataError, match="data holds no rows"):
        open_source(tmp_path / "data")


def test_empty_jsonl_is_refused_when_read(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match=r"data.jsonl holds no rows"):
        list(open_source(tmp_path / "data.jsonl"))


def test_missing_column_is_refused_at_once(tmp_path: Path, save: Save) -> None:
    rows = [{("question" if name == "problem" else name): value for name, value in row().items()}]
    with pytest.raises(DataError, match=r"column 'problem' is missing; found .*question.* to 'problem'"):
        open_source(save(tmp_path, rows))


def test_folder_of_shards_is_one_source(tmp_path: Path) -> None:
    write_samples(tmp_path / "b/1.parquet", [sample(2)])
    write_samples(tmp_path / "b/0.parquet", [sample(1)])
    write_samples(tmp_path / "a.parquet", [sample(0)])
    (tmp_path / "README.md").write_text("about")
    source = open_source(tmp_path)
    assert list(source) == [sample(0), sample(1), sample(2)]
    assert source.num_rows == 3


def test_pictures_may_lie_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/0.png").write_bytes(png(0))
    (tmp_path / "rows.jsonl").write_text(json.dumps(row(0, {"images": "0.png"})))
    assert list(open_source(tmp_path / "rows.jsonl", images=tmp_path / "pictures")) == [sample(0)]


def uri(path: Path) -> str:
    return path.as_uri()


@pytest.mark.parametrize("spelled", [str, uri, lambda path: f"{path}/"], ids=["path", "file URI", "trailing slash"])
def test_folder_may_be_spelled_in_several_ways(tmp_path: Path, spelled: Callable[[Path], str]) -> None:
    save_jsonl(tmp_path, [row(0)])
    assert list(open_source(spelled(tmp_path))) == [sample(0)]


def test_path_from_here_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_parquet(tmp_path, [row(0)])
    monkeypatch.chdir(tmp_path)
    assert list(open_source("data.parquet")) == [sample(0)]
    assert list(open_source(".")) == [sample(0)]


def test_format_may_be_said(tmp_path: Path) -> None:
    save_jsonl(tmp_path, [row(0)])
    (tmp_path / "data.jsonl").rename(tmp_path / "rows.txt")
    assert list(open_source(tmp_path / "rows.txt", format="jsonl")) == [sample(0)]
    save_parquet(tmp_path, [row(1)])
    save_jsonl(tmp_path, [row(0)])
    assert list(open_source(tmp_path, format="parquet")) == [sample(1)]


@pytest.mark.parametrize(
    ("names", "options", "want"),
    [
        pytest.param((), {}, "does not exist or is empty", id="nothing there"),
        pytest.param(("a.csv", "b.txt"), {}, r"neither parquet, .* \(a.csv, b.txt\); name the file", id="other files"),
        pytest.param(("a.parquet", "b.jsonl"), {}, "both parquet and JSONL files", id="two formats"),
        pytest.param(("a.csv", "b.csv"), {"format": "parquet"}, r"no parquet file \(a.csv, b.csv\)", id="wrong format"),
        pytest.param(
            ("a.jsonl",), {"split": "train"}, r"no split 'train'; it holds files of no split \(a.jsonl\)", id="no split"
        ),
        pytest.param(("a.csv",), {"format": "hf_disk"}, "cannot be opened as a saved Hugging Face", id="no saved set"),
    ],
)
def test_unclear_data_set_says_what_was_found(
    tmp_path: Path, names: tuple[str, ...], options: dict[str, str], want: str
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=want):
        open_source(tmp_path, **options)  # type: ignore[arg-type]


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(UserError, match="scheme 'gs'"):
        open_source("gs://bucket/data")


def test_samples_survive_the_way_through_parquet(tmp_path: Path, save: Save) -> None:
    """What one stage reads, writes and the next reads is the same."""
    first = list(open_source(save(tmp_path, [row(0), row(1)])))
    write_samples(tmp_path / "again.parquet", first)
    assert list(open_source(tmp_path / "again.parquet")) == first


def test_ids_made_up_by_a_reader_survive_too(tmp_path: Path) -> None:
    rows = [{key: one[key] for key in ("problem", "images", "original_answer")} for one in (row(0), row(0))]
    first = list(open_source(save_parquet(tmp_path, rows)))
    assert [one.id for one in first] == ["data.parquet:0", "data.parquet:1"]
    write_samples(tmp_path / "again.parquet", reversed(first))
    assert list(open_source(tmp_path / "again.parquet")) == first[::-1]
    assert first[0] == replace(first[1], id="data.parquet:0")


def test_package_loads_without_pyarrow_or_datasets() -> None:
    code = (
        "import sys, visionthink.datasets; print(sorted({'pyarrow', 'datasets', 'boto3', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("module", "save"), [("pyarrow", save_parquet), ("datasets", save_hf_disk)])
def test_missing_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, save: Save
) -> None:
    path = save(tmp_path, [row(0)])
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "visionthink.datasets.parquet", raising=False)
    with pytest.raises(UserError, match=r"install visionthink\[data\]"):
        open_source(path)
