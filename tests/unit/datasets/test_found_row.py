"""Rows as people write them: how they name pictures, give answers and leave gaps; what is said of bad ones is short."""

import base64
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.datasets.conftest import png, row, sample
from tests.unit.datasets.jsonl_rows import ids, lines

from visionthink.datasets import open_source
from visionthink.datasets.parquet import write_samples
from visionthink.errors import DataError

NFC, NFD = (unicodedata.normalize(form, "Snímek v 13.05.png") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("written", "on_disk"),
    [
        pytest.param("Screenshot 9.41\u202fAM.png", "Screenshot 9.41\u202fAM.png", id="narrow blank of macOS"),
        pytest.param("Sn\u00edmek v\u00a013.05.png", "Sn\u00edmek v\u00a013.05.png", id="blank that does not break"),
        pytest.param("\U0001f469\u200d\U0001f4bb.png", "\U0001f469\u200d\U0001f4bb.png", id="joined emoji"),
        pytest.param("\u200f\u05e9\u05dc.png", "\u200f\u05e9\u05dc.png", id="mark of direction"),
        pytest.param("a\u00adb\ufeff.png", "a\u00adb\ufeff.png", id="invisible characters"),
        pytest.param(NFC, NFD, id="composed in the row"),
        pytest.param(NFD, NFC, id="decomposed in the row"),
        pytest.param("./images/1.png", "images/1.png", id="dot"),
        pytest.param("images//1.png", "images/1.png", id="two slashes"),
        pytest.param("./images/././1.png", "images/1.png", id="dots"),
        pytest.param("images\\1.png", "images/1.png", id="backslash of Windows"),
        pytest.param("a b#?%20.png", "a b#?%20.png", id="characters of addresses"),
    ],
)
def test_picture_is_found_as_people_write_it(tmp_path: Path, written: str, on_disk: str) -> None:
    path = lines(tmp_path / "t.jsonl", 0, images=written)
    (tmp_path / on_disk).parent.mkdir(exist_ok=True)
    (tmp_path / on_disk).write_bytes(png(0))
    assert list(open_source(path)) == [sample(0)]


def test_of_twins_the_one_that_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / NFC).write_bytes(png(0))
    (tmp_path / NFD).write_bytes(png(1))
    path = lines(tmp_path / "t.jsonl", 0, images=NFD)
    assert [one.picture for one in open_source(path)] == [png(1)]


@pytest.mark.parametrize(("asked", "on_disk"), [(NFC, NFD), (NFD, NFC)], ids=["composed", "decomposed"])
def test_data_set_is_found_however_its_accents_are_made(tmp_path: Path, asked: str, on_disk: str) -> None:
    lines(tmp_path / on_disk / "t.jsonl", 0)
    assert ids(tmp_path / asked) == ids(tmp_path / asked / "t.jsonl") == ["doc-0"]


def test_absolute_path_below_the_pictures_is_read(tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "a" / "1.png").write_bytes(png(0))
    (tmp_path / "alias").symlink_to("images")
    for written in (tmp_path / "images/a/1.png", tmp_path / "alias/a/1.png", (tmp_path / "images/a/1.png").as_uri()):
        path = lines(tmp_path / "t.jsonl", 0, images=str(written))
        for folder in ("images", "alias"):
            assert list(open_source(path, images=tmp_path / folder)) == [sample(0)]
        assert list(open_source(path)) == [sample(0)] or "alias" in str(written)


@pytest.mark.parametrize(
    ("written", "want"),
    [
        ("/etc/passwd", r"the picture '/etc/passwd' does not lie below file:///.*; set data.images to"),
        ("../1.png", r"'../1.png' reaches upwards; set data.images"),
        ("images/../../1.png", r"reaches upwards; set data.images"),
        ("..\\1.png", r"there is no picture|reaches upwards"),
        ("https://host/1.png", "is an address; pictures are not fetched from the web"),
        ("file:///etc/passwd", "does not lie below"),
        ("s3://other/1.png", "lies in a bucket that was not opened; set data.images to s3://other"),
        ("x" * 400_000, "is longer than"),
        ("data:image/png;base64," + "*" * 400_000, "base64 of the data URL is broken"),
        ("/" + "x" * 400_000, "does not lie below"),
    ],
)
def test_picture_that_is_refused_says_why_in_short(tmp_path: Path, written: str, want: str) -> None:
    path = lines(tmp_path / "t.jsonl", 0, images=written)
    with pytest.raises(DataError, match=want) as caught:
        list(open_source(path))
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_absolute_path_elsewhere_is_refused_also_through_dots(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(5))
    path = lines(tmp_path / "d" / "t.jsonl", 0, images=f"{tmp_path}/d/../secret.png")
    with pytest.raises(DataError, match="does not lie below"):
        list(open_source(path))


def test_pictures_may_lie_beside_a_file_in_a_folder_of_its_own(tmp_path: Path) -> None:
    lines(tmp_path / "train" / "t.jsonl", 0)
    lines(tmp_path / "test" / "t.jsonl", 1)
    assert list(open_source(tmp_path, split="train")) == [sample(0)]


def data_url(number: int) -> str:
    return f"data:image/png;name=a.png;base64,{base64.b64encode(png(number)).decode()}"


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda text: text, id="text"),
        pytest.param(lambda text: [text], id="list"),
        pytest.param(lambda text: {"bytes": None, "path": text}, id="struct"),
        pytest.param(lambda text: {"bytes": text.partition(",")[2]}, id="base64 of bytes"),
        pytest.param(lambda text: text.partition(",")[2], id="bare base64"),
    ],
)
def test_picture_may_stand_in_the_row_as_text(tmp_path: Path, wrap: Callable[[str], object]) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(row(0, {"images": wrap(data_url(0))})))
    assert list(open_source(path)) == [sample(0)]


def answers(tmp_path: Path, column: pa.Array, **options: object) -> list[tuple[str, ...]]:
    size = len(column)
    table = pa.table({"problem": ["q"] * size, "images": pa.array([png()] * size), "original_answer": column})
    pq.write_table(table, tmp_path / "a.parquet")
    return [one.answers for one in open_source(tmp_path / "a.parquet", **options)]  # type: ignore[arg-type]


def test_gap_in_a_column_of_numbers_is_a_bad_row(tmp_path: Path) -> None:
    column = pa.array([7.0, float("nan"), 7.5, None], pa.float64())
    with pytest.raises(DataError, match=r"row 1 of a.parquet: column 'original_answer' .* is empty"):
        answers(tmp_path, column)
    assert answers(tmp_path, column, skip_bad=True) == [("7",), ("7.5",)]


def test_gap_in_jsonl_is_a_bad_row_and_the_word_is_a_word(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", 0, original_answer=float("nan"))
    with pytest.raises(DataError, match=r"line 1 of t.jsonl: column 'original_answer' .* is empty"):
        list(open_source(path))
    path = lines(tmp_path / "t.jsonl", 0, original_answer="nan", doc_id=float("nan"), family=float("nan"))
    (got,) = open_source(path)
    assert (got.answer, got.id, got.family) == ("nan", "t.jsonl:1", "open_source_require_high")


def test_several_right_answers_are_kept(tmp_path: Path) -> None:
    got = answers(tmp_path, pa.array([["six", "6"], ["x"], ["a", None, "a"]]))
    assert got == [("six", "6"), ("x",), ("a",)]


def test_several_right_answers_survive_the_way_through_parquet(tmp_path: Path) -> None:
    lines(tmp_path / "t.jsonl", 0, original_answer=["six", 6.0])
    first = list(open_source(tmp_path / "t.jsonl"))
    assert first[0].answers == ("six", "6")
    write_samples(tmp_path / "again.parquet", first)
    assert list(open_source(tmp_path / "again.parquet")) == first
    data = datasets.Dataset.from_parquet(str(tmp_path / "again.parquet"), cache_dir=str(tmp_path / "cache"))
    assert data[0]["other_answers"] == ["6"]


def test_list_without_an_answer_is_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 0 of a.parquet: column 'original_answer' .* is empty"):
        answers(tmp_path, pa.array([[]], pa.list_(pa.string())))


@pytest.mark.parametrize(
    "columns",
    [
        {"x" * 300 + str(number): 0 for number in range(1000)},
        {"problem": "x" * 400_000, "images": "gone.png", "original_answer": "a", "doc_id": "d" * 400_000},
        {"problem": ["x" * 400_000], "images": "gone.png", "original_answer": "a"},
        {"problem": "q", "images": "gone.png", "original_answer": {"a": "x" * 400_000}},
        {"problem": "q", "images": ["a"] * 100_000, "original_answer": "a"},
        {"problem": "q", "images": "gone.png", "original_answer": "a", "needs_high_res": "x" * 400_000},
        {"problem": "<image>" * 50_000, "images": "gone.png", "original_answer": "a"},
    ],
    ids=["columns", "texts", "question", "answer", "pictures", "flag", "markers"],
)
def test_error_is_short_whatever_the_row_holds(tmp_path: Path, columns: dict[str, object]) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps(columns))
    with pytest.raises(DataError) as caught:
        list(open_source(tmp_path / "t.jsonl"))
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)
