"""One row as a sample, whatever the format."""

from pathlib import Path

import pytest
from hypothesis import given
from tests.unit.datasets.conftest import canonical_questions, png, row, sample, without

from visionthink.core.geometry import Box
from visionthink.core.sample import Sample
from visionthink.datasets.picture_folder import PictureFolder
from visionthink.datasets.row import Row, problem_of, to_sample
from visionthink.datasets.schema import OURS
from visionthink.errors import DataError, StorageError
from visionthink.storage import LocalStore


@pytest.fixture
def pictures(tmp_path: Path) -> PictureFolder:
    (tmp_path / "secret.png").write_bytes(png(99))
    (tmp_path / "pictures/scans").mkdir(parents=True)
    (tmp_path / "pictures/scans/1.png").write_bytes(png(1))
    return PictureFolder(LocalStore(tmp_path / "pictures"))


def read(columns: dict[str, object], pictures: PictureFolder) -> Sample:
    return to_sample(Row(name="row 3 of a.parquet", default_id="a.parquet:3", values=columns), pictures)


def test_good_row_is_a_sample(pictures: PictureFolder) -> None:
    assert read(row(5), pictures) == sample(5)


@pytest.mark.parametrize(
    ("problem", "want"),
    [
        pytest.param("<image>\nWhat?", "What?", id="marker on its own line"),
        pytest.param("<image>What?", "What?", id="marker glued to the text"),
        pytest.param("<image> What?", "What?", id="marker and a blank"),
        pytest.param("<image>\n\nWhat?", "\nWhat?", id="only one line break belongs to the marker"),
        pytest.param("What?", "What?", id="no marker"),
        pytest.param("See <image> here. What?", "See <image> here. What?", id="marker in the text stays"),
        pytest.param("What?\n<image>", "What?\n<image>", id="marker at the end stays"),
    ],
)
def test_question_keeps_the_marker_only_where_it_says_something(
    pictures: PictureFolder, problem: str, want: str
) -> None:
    assert read(row(0, {"problem": problem}), pictures).question == want


@given(question=canonical_questions())
def test_question_survives_the_marker(question: str) -> None:
    columns = row(0, {"problem": problem_of(question)})
    assert read(columns, PictureFolder(LocalStore(Path("/nowhere")))).question == question


@pytest.mark.parametrize(
    ("columns", "want"),
    [
        pytest.param({"needs_high_res": False}, False, id="our column says it"),
        pytest.param({"data_source": "open_source_require_high", "info": None}, True, id="name of the needed set"),
        pytest.param({"data_source": "open_source_no_require_high"}, False, id="the set's name beats use_tool"),
        pytest.param({"data_source": "other", "info": {"use_tool": False}}, False, id="use_tool"),
        pytest.param({"data_source": "other", "info": None}, None, id="nobody knows"),
        pytest.param({"data_source": None, "info": {}}, None, id="no columns at all"),
    ],
)
def test_need_of_high_resolution_comes_from_what_the_row_has(
    pictures: PictureFolder, columns: dict[str, object], want: bool | None
) -> None:
    assert read(row(0, columns), pictures).needs_high_res is want


def test_region_of_a_row_is_a_box(pictures: PictureFolder) -> None:
    assert read(row(0, {"region": [1, 2, 30, 40]}), pictures).region == Box(left=1, top=2, right=30, bottom=40)
    assert read(row(0, {"region": None}), pictures).region is None


@pytest.mark.parametrize("region", [[1, 2, 3], [1, 2, 1, 4], [5, 2, 3, 4], "left", [1.5, 2, 3, 4]])
def test_region_that_is_no_box_is_a_bad_row(pictures: PictureFolder, region: object) -> None:
    with pytest.raises(DataError, match=r"row 3 of a\.parquet: .*box|region"):
        read(row(0, {"region": region}), pictures)


def test_missing_optional_columns_have_defaults(pictures: PictureFolder) -> None:
    columns = {"problem": "What?", "images": png(), "original_answer": 7}
    want = Sample(
        id="a.parquet:3",
        question="What?",
        answer="7",
        family="a.parquet",
        needs_high_res=None,
        source="a.parquet",
        picture=png(),
    )
    assert read(columns, pictures) == want


@pytest.mark.parametrize("value", ["x7", 7, 7.5])
def test_numbers_become_text(pictures: PictureFolder, value: object) -> None:
    got = read(row(0, {"doc_id": value, "original_answer": value}), pictures)
    assert (got.id, got.answer) == (str(value), str(value))


@pytest.mark.parametrize(
    "images",
    [
        pytest.param({"bytes": png(1), "path": None}, id="as datasets stores it"),
        pytest.param({"bytes": png(1), "path": "gone.png"}, id="bytes beat the path"),
        pytest.param({"bytes": None, "path": "scans/1.png"}, id="a struct with a path"),
        pytest.param(png(1), id="bare bytes"),
        pytest.param("scans/1.png", id="bare path"),
        pytest.param([{"bytes": png(1), "path": None}], id="a list of one"),
    ],
)
def test_picture_is_found_however_it_is_given(pictures: PictureFolder, images: object) -> None:
    assert read(row(0, {"images": images}), pictures).picture == png(1)


@pytest.mark.parametrize(
    ("columns", "want"),
    [
        pytest.param({"problem": None}, r"column 'problem' \(the question\) is empty", id="no question"),
        pytest.param({"problem": "<image>\n "}, "nothing but <image>", id="only a marker"),
        pytest.param(
            {"problem": "<image><image>Same?"}, "2 markers <image>, but a row has one picture", id="two markers"
        ),
        pytest.param({"problem": ["a"]}, "column 'problem' must hold a text", id="question of the wrong kind"),
        pytest.param({"problem": "\ud800"}, "half a character", id="text that cannot be written"),
        pytest.param({"original_answer": " "}, r"'original_answer' \(the right answer\) is empty", id="blank answer"),
        pytest.param({"original_answer": True}, "must hold a text, got True", id="answer of the wrong kind"),
        pytest.param({"images": None}, "neither bytes nor a path", id="no picture"),
        pytest.param({"images": {"bytes": b"", "path": ""}}, "neither bytes nor a path", id="empty picture"),
        pytest.param({"images": [png(), png()]}, "a list of 2 pictures", id="two pictures"),
        pytest.param({"images": "gone.png"}, "no picture 'gone.png' in file:///", id="missing picture"),
        pytest.param({"images": "/etc/passwd"}, "use a relative path", id="absolute path"),
        pytest.param({"images": "../secret.png"}, "use a relative path", id="path out of the folder"),
        pytest.param({"needs_high_res": "yes"}, "must be true, false or null, got 'yes'", id="need of the wrong kind"),
    ],
)
def test_bad_row_says_which_and_why(pictures: PictureFolder, columns: dict[str, object], want: str) -> None:
    with pytest.raises(DataError, match=f"^row 3 of a.parquet: .*{want}"):
        read(row(0, columns), pictures)


def test_failing_store_is_no_bad_row(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    with pytest.raises(StorageError, match="could not read"):
        read(row(0, {"images": "loop.png"}), PictureFolder(LocalStore(tmp_path)))


@pytest.mark.parametrize("column", ["problem", "images", "original_answer"])
def test_missing_column_is_named_with_those_found_and_the_mend(column: str) -> None:
    with pytest.raises(DataError) as caught:
        OURS.check(without(column, {"problem": 0, "images": 0, "original_answer": 0, "extra": 0}), "a.parquet")
    assert f"a.parquet: column '{column}' is missing; found " in str(caught.value)
    assert "extra. Rename the column that holds the" in str(caught.value)
