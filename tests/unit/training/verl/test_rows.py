from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.unit.training.verl.written import CONFIG, path_of, row_infos, world

from visionthink.config import TrainConfig
from visionthink.core.sample import Sample
from visionthink.errors import DataError
from visionthink.storage import open_store
from visionthink.training.order import picked
from visionthink.training.verl.rows import sample_of, store_pictures, training_order, write_rows


def test_a_row_gives_back_its_sample_and_holds_no_pixel(tmp_path: Path) -> None:
    samples = [
        replace(world(2)[0], other_answers=("h", 'so-called "H"')),
        replace(world(2)[1], needs_high_res=None),
    ]
    infos = row_infos(samples, tmp_path)
    assert [sample_of(info, path_of(info).read_bytes()) for info in infos] == samples
    table = pq.read_table(tmp_path / "rows.parquet")
    assert max(len(str(row)) for row in table.to_pylist()) < 1000


def test_rows_say_how_they_are_asked(tmp_path: Path) -> None:
    assert {info["policy"] for info in row_infos(world(), tmp_path, policy="always_high")} == {"always_high"}


def test_equal_pictures_are_kept_once(tmp_path: Path) -> None:
    one = world(1)[0]
    places = store_pictures([one, replace(one, id="again")], open_store(str(tmp_path / "pictures")))
    assert len(set(places.values())) == 1 == sum(1 for _ in (tmp_path / "pictures").rglob("*") if _.is_file())


def test_no_sample_is_no_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sample to train on"):
        write_rows(tmp_path / "rows.parquet", [], {})


def test_a_picture_without_a_place_is_named(tmp_path: Path) -> None:
    sample = world(1)[0]
    with pytest.raises(DataError, match=sample.id):
        write_rows(tmp_path / "rows.parquet", [sample], {})


def test_the_order_is_that_of_the_local_trainer_with_labels_in_turn() -> None:
    samples = world(20)
    config = TrainConfig(num_steps=5, num_prompts=6)
    got = training_order(samples, config, seed=4)
    needed = [sample for sample in samples if sample.needs_high_res]
    rest = [sample for sample in samples if not sample.needs_high_res]
    for step in range(5):
        batch = got[step * 6 : step * 6 + 6]
        want = picked(step, needed, rest, num_prompts=6, needed_ratio=config.needed_ratio, seed=4)
        assert sorted(map(_id, batch)) == sorted(map(_id, want))
        assert [sample.needs_high_res for sample in batch] == [True, False] * 3


def test_a_label_without_samples_is_told() -> None:
    with pytest.raises(DataError, match="no training sample is labelled 'not needed'"):
        training_order([one for one in world() if one.needs_high_res], CONFIG.train, seed=0)


def _id(sample: Sample) -> str:
    return sample.id
