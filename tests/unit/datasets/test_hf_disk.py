"""Folders that the real `datasets` library saved, with the columns of the published sets."""

import json
import shutil
from pathlib import Path

import datasets
import pytest
from PIL import Image
from tests.unit.datasets.conftest import png, row, sample, without

from visionthink.datasets.hf_disk import DiskRows
from visionthink.datasets.picture_folder import PictureFolder
from visionthink.datasets.row import to_sample
from visionthink.errors import DataError
from visionthink.picture import decode
from visionthink.storage import LocalStore

TEXT = datasets.Value("string")
FEATURES = datasets.Features(
    {
        "problem": TEXT,
        "images": datasets.Image(),
        "original_answer": TEXT,
        "solution": TEXT,
        "doc_id": TEXT,
        "data_source": TEXT,
        "info": {
            "use_tool": datasets.Value("bool"),
            "tgt_width": datasets.Value("int64"),
            "tgt_height": datasets.Value("int64"),
        },
    }
)


@pytest.fixture(autouse=True)
def quiet() -> None:
    datasets.disable_progress_bars()


def saved(path: Path, rows: list[dict[str, object]], features: datasets.Features = FEATURES, **options: int) -> Path:
    columns = {name: [one[name] for one in rows] for name in features}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(path), **options)
    return path


def pictures(path: Path) -> PictureFolder:
    return PictureFolder(LocalStore(path))


def test_saved_set_is_samples(tmp_path: Path) -> None:
    path = saved(tmp_path / "train", [row(number) for number in range(40)], num_shards=3)
    rows = DiskRows(path)
    assert rows.num_rows == 40
    assert [to_sample(one, pictures(path)) for one in rows] == [sample(number) for number in range(40)]


def test_pictures_that_were_files_are_embedded(tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(png(3))
    path = saved(tmp_path / "train", [row(3, {"images": str(tmp_path / "scan.png")})])
    (tmp_path / "scan.png").unlink()
    (got,) = [to_sample(one, pictures(path)) for one in DiskRows(path)]
    assert got.picture == png(3)


def test_pictures_that_were_pillow_images_are_decoded_alike(tmp_path: Path) -> None:
    image = Image.new("RGB", (5, 4), (1, 2, 3))
    path = saved(tmp_path / "train", [row(0, {"images": image})])
    (got,) = [to_sample(one, pictures(path)) for one in DiskRows(path)]
    assert decode(got.picture).tobytes() == image.tobytes()


def test_list_of_one_picture_is_read_too(tmp_path: Path) -> None:
    features = datasets.Features({**FEATURES, "images": datasets.List(datasets.Image())})
    path = saved(tmp_path / "train", [row(0, {"images": [{"bytes": png(0), "path": None}]})], features)
    assert [to_sample(one, pictures(path)) for one in DiskRows(path)] == [sample(0)]


def test_only_used_columns_are_read(tmp_path: Path) -> None:
    features = datasets.Features({**FEATURES, "response": TEXT})
    path = saved(tmp_path / "train", [{**row(0), "response": "long"}], features)
    (got,) = DiskRows(path)
    assert "response" not in got.values
    assert "solution" not in got.values


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    parts = {
        name: datasets.Dataset.from_dict({key: [value] for key, value in row(number).items()}, features=FEATURES)
        for number, name in enumerate(("train", "val"))
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "both"))
    return tmp_path / "both"


def test_split_is_read_by_its_name(splits: Path) -> None:
    assert [to_sample(one, pictures(splits)) for one in DiskRows(splits, "val")] == [sample(1)]


def test_only_split_needs_no_name(splits: Path) -> None:
    shutil.rmtree(splits / "val")
    (splits / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    assert [to_sample(one, pictures(splits)) for one in DiskRows(splits)] == [sample(0)]


def test_unclear_split_lists_those_that_exist(splits: Path) -> None:
    with pytest.raises(DataError, match=r"no split was asked for; it has train, val"):
        DiskRows(splits)
    with pytest.raises(DataError, match=r"there is no split 'test'; it has train, val"):
        DiskRows(splits, "test")
    with pytest.raises(DataError, match=r"there is no split 'test'; it has none"):
        DiskRows(splits / "train", "test")


@pytest.mark.parametrize("name", ["../../etc", "..", "/etc", "train/../..", ""])
def test_split_that_leads_out_of_the_folder_is_refused(splits: Path, name: str) -> None:
    (splits / "dataset_dict.json").write_text(json.dumps({"splits": ["train", name]}))
    for split in (name, "train", None):
        with pytest.raises(DataError, match=r"dataset_dict.json names the split .* leads out of the folder"):
            DiskRows(splits, split)


@pytest.mark.parametrize("name", ["../other/data.arrow", "/tmp/data.arrow"])
def test_shard_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "train", [row()])
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(DataError, match=r"state.json names the file .* leads out of the folder"):
        DiskRows(path)


@pytest.mark.parametrize("column", ["problem", "images", "original_answer"])
def test_missing_column_is_said_at_once(tmp_path: Path, column: str) -> None:
    features = datasets.Features(without(column, FEATURES))
    path = saved(tmp_path / "train", [row()], features)
    with pytest.raises(DataError, match=f"column '{column}' is missing; found .*doc_id"):
        DiskRows(path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param("state.json", b"", id="empty state"),
        pytest.param("state.json", b"{}", id="state without files"),
        pytest.param("data-00000-of-00001.arrow", b"cut off", id="broken shard"),
        pytest.param("data-00000-of-00001.arrow", None, id="missing shard"),
        pytest.param("dataset_info.json", b"[", id="broken description"),
        pytest.param("dataset_dict.json", b"{}", id="broken list of splits"),
    ],
)
def test_damaged_folder_is_a_data_error(tmp_path: Path, file: str, content: bytes | None) -> None:
    path = saved(tmp_path / "train", [row()])
    if content is None:
        (path / file).unlink()
    else:
        (path / file).write_bytes(content)
    with pytest.raises(DataError, match=r"train.* (cannot be opened as a saved Hugging Face|is broken)"):
        DiskRows(path)
