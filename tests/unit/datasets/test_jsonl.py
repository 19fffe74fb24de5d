"""Lines of JSON beside their pictures."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.datasets.conftest import png, row, sample, samples

from visionthink.core.sample import Sample
from visionthink.datasets.jsonl import JsonlRows
from visionthink.datasets.picture_folder import PictureFolder
from visionthink.datasets.row import problem_of, to_sample
from visionthink.errors import DataError
from visionthink.storage import LocalStore


def line(number: int = 0, **columns: object) -> str:
    return json.dumps(row(number, {"images": f"{number}.png", **columns}))


def rows_of(folder: Path, text: str | bytes) -> JsonlRows:
    (folder / "a.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    for number in range(3):
        (folder / f"{number}.png").write_bytes(png(number))
    return JsonlRows(LocalStore(folder), ("a.jsonl",))


def read(rows: JsonlRows) -> list[Sample]:
    return [to_sample(row, PictureFolder(rows.store)) for row in rows]


def test_lines_are_samples(tmp_path: Path) -> None:
    assert read(rows_of(tmp_path, f"{line(0)}\n{line(1)}\n")) == [sample(0), sample(1)]


def test_rows_can_be_read_again(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, line(0))
    assert read(rows) == read(rows)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{line(0)}\n{line(1)}", id="no last line break"),
        pytest.param(f"{line(0)}\r\n{line(1)}\r\n", id="line breaks of Windows"),
        pytest.param(f"\n{line(0)}\n\n{line(1)}\n  \n", id="blank lines"),
        pytest.param(f"\ufeff{line(0)}\n{line(1)}\n", id="a byte order mark"),
    ],
)
def test_traces_of_editors_change_nothing(tmp_path: Path, text: str) -> None:
    assert read(rows_of(tmp_path, text)) == [sample(0), sample(1)]


@given(want=st.lists(samples(), max_size=5))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_samples_come_back_as_they_were(tmp_path: Path, want: list[Sample]) -> None:
    lines = []
    for number, one in enumerate(want):
        (tmp_path / f"{number}.bin").write_bytes(one.picture)
        columns = {
            "problem": problem_of(one.question),
            "images": f"{number}.bin",
            "original_answer": one.answer,
            "doc_id": one.id,
            "data_source": one.source,
            "family": one.family,
            "needs_high_res": one.needs_high_res,
            "other_answers": one.other_answers,
            "region": None if one.region is None else one.region.edges,
        }
        lines.append(json.dumps(columns, ensure_ascii=number % 2 == 0))
    assert read(rows_of(tmp_path, "\n".join(lines))) == want


@pytest.mark.parametrize(
    ("bad", "want"),
    [
        pytest.param(b"{", "line 2 of a.jsonl: the line is no JSON", id="broken JSON"),
        pytest.param(b'{"problem": "\xff"}', "line 2 of a.jsonl: the line is no JSON", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "line 2 of a.jsonl: the line is no JSON", id="nested too deep"),
        pytest.param(b"[1]", "line 2 of a.jsonl: the line holds a list; it must hold an object", id="no object"),
        pytest.param(b"{}", r"line 2 of a.jsonl: column 'problem' \(the question\) is empty", id="no columns"),
        pytest.param(line(1, images="gone.png").encode(), "line 2 of a.jsonl: there is no picture", id="no picture"),
    ],
)
def test_bad_line_says_which_and_why_and_leaves_the_others(tmp_path: Path, bad: bytes, want: str) -> None:
    rows = list(rows_of(tmp_path, b"\n".join([line(0).encode(), bad, line(2).encode()])))
    pictures = PictureFolder(LocalStore(tmp_path))
    with pytest.raises(DataError, match=f"^{want}"):
        to_sample(rows[1], pictures)
    assert [to_sample(rows[number], pictures) for number in (0, 2)] == [sample(0), sample(2)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_told(tmp_path: Path, encoding: str) -> None:
    text = line(0).encode(encoding)
    with pytest.raises(DataError, match=r"a.jsonl is UTF-16 text, .*save it as UTF-8"):
        rows_of(tmp_path, text if encoding == "utf-16" else b"\xfe\xff" + text)


def test_file_with_other_names_is_refused_at_once(tmp_path: Path) -> None:
    other = json.dumps({"question": "q", "image": "0.png", "answer": "a"})
    with pytest.raises(
        DataError, match=r"a.jsonl: column 'problem' is missing; found question, image, answer\. Rename"
    ):
        rows_of(tmp_path, f"not json\n{other}\n")
