import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.fakes.stage_task import tiny_config

from visionthink.config import RunConfig, override_config
from visionthink.core.sample import Sample
from visionthink.datasets.parquet import write_samples
from visionthink.errors import ConfigError, DataError
from visionthink.samples import (
    check_data,
    check_sources,
    content_id,
    decoded,
    samples_to_evaluate,
    samples_to_label,
)


def rows(count: int, source: str = "mine") -> list[Sample]:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format="PNG")
    return [
        Sample(
            id=f"{source}-{index}",
            question=f"what {source} {index} ?",
            answer="that",
            family="any",
            needs_high_res=None,
            source=source,
            picture=file.getvalue(),
        )
        for index in range(count)
    ]


def config_of(path: Path, count: int, **more: object) -> RunConfig:
    write_samples(path / "mine.parquet", rows(count))
    overrides = {"data.source": str(path / "mine.parquet"), "label.num_samples": 4, "evaluate.num_samples": 3}
    return tiny_config(overrides | more)


def ids(samples: object) -> list[str]:
    return [sample.id for sample in samples]  # type: ignore[attr-defined]


def test_world_samples_are_half_needed_to_label_and_a_third_to_evaluate() -> None:
    config = tiny_config({"label.num_samples": 10, "evaluate.num_samples": 12})
    assert sum(bool(sample.needs_high_res) for sample in samples_to_label(config)) == 5
    assert sum(bool(sample.needs_high_res) for sample in samples_to_evaluate(config).samples) == 4


def test_world_families_that_are_held_out_stand_apart() -> None:
    tests = samples_to_evaluate(tiny_config({"data.held_out_families": ["corner", "suffix"]}))
    assert {sample.family for sample in tests.samples} == {"color", "mark"}
    assert {sample.family for sample in tests.held_out} == {"corner", "suffix"}


@pytest.mark.parametrize(
    "overrides", [{"data.held_out_families": []}, {"evaluate.num_held_out_samples": 0}], ids=["no family", "no sample"]
)
def test_world_without_held_out_samples_has_none(overrides: dict[str, object]) -> None:
    assert samples_to_evaluate(tiny_config(overrides)).held_out == ()


def test_world_seed_gives_other_pictures() -> None:
    one, other = (
        {sample.picture for sample in samples_to_evaluate(tiny_config({"data.world_seed": seed})).samples}
        for seed in (0, 7)
    )
    assert not one & other


def test_rows_behind_those_to_label_are_evaluated(tmp_path: Path) -> None:
    config = config_of(tmp_path, 10)
    assert ids(samples_to_label(config)) == ["mine-0", "mine-1", "mine-2", "mine-3"]
    assert ids(samples_to_evaluate(config).samples) == ["mine-4", "mine-5", "mine-6"]


def test_set_of_its_own_is_evaluated_from_its_start(tmp_path: Path) -> None:
    write_samples(tmp_path / "other.parquet", rows(2, "other"))
    config = config_of(tmp_path, 4, **{"data.eval_source": str(tmp_path / "other.parquet")})
    assert ids(samples_to_evaluate(config).samples) == ["other-0", "other-1"]


def test_split_of_its_own_is_evaluated(tmp_path: Path) -> None:
    write_samples(tmp_path / "d" / "train-00000-of-00001.parquet", rows(8, "train"))
    write_samples(tmp_path / "d" / "test-00000-of-00001.parquet", rows(2, "test"))
    config = tiny_config({"data.source": str(tmp_path / "d"), "data.split": "train", "label.num_samples": 4})
    assert ids(samples_to_label(config)) == [f"train-{index}" for index in range(4)]
    assert ids(samples_to_evaluate(config).samples) == [f"train-{index}" for index in range(4, 8)]
    apart = override_config(config, {"data.eval_split": "test"})
    assert ids(samples_to_evaluate(apart).samples) == ["test-0", "test-1"]
    both = check_sources(apart)
    assert [line.partition(", ")[2] for line in both] == [
        "8 rows, split train; left out: test-00000-of-00001.parquet (another split)",
        "2 rows, split test; left out: train-00000-of-00001.parquet (another split)",
    ]


def test_split_to_train_on_says_nothing_of_another_set(tmp_path: Path) -> None:
    write_samples(tmp_path / "train.parquet", rows(8, "train"))
    write_samples(tmp_path / "other.parquet", rows(2, "other"))
    config = tiny_config(
        {
            "data.source": str(tmp_path / "train.parquet"),
            "data.split": "train",
            "data.eval_source": str(tmp_path / "other.parquet"),
        }
    )
    assert ids(samples_to_evaluate(config).samples) == ["other-0", "other-1"]


@pytest.mark.parametrize(
    "spelled",
    [
        pytest.param(lambda folder: str(folder / "mine.parquet"), id="the same file"),
        pytest.param(lambda folder: f"{folder}/./mine.parquet", id="spelled another way"),
        pytest.param(lambda folder: (folder / "mine.parquet").as_uri(), id="as a URI"),
        pytest.param(lambda folder: str(folder / "link.parquet"), id="through a link"),
        pytest.param(lambda folder: str(folder / "folder"), id="in a folder"),
    ],
)
def test_set_that_is_trained_on_is_not_evaluated_on(tmp_path: Path, spelled: Callable[[Path], str]) -> None:
    config = config_of(tmp_path, 10)
    (tmp_path / "link.parquet").symlink_to("mine.parquet")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "test.parquet").symlink_to("../mine.parquet")
    config = override_config(config, {"data.eval_source": spelled(tmp_path)})
    with pytest.raises(DataError, match=r"those to train on: both read .*mine.parquet\. Name another set"):
        check_sources(config)
    with pytest.raises(DataError, match="3 of 3 samples to evaluate on are trained on as well"):
        samples_to_evaluate(config)


def test_copy_of_the_set_that_is_trained_on_is_refused_before_work_begins(tmp_path: Path) -> None:
    write_samples(tmp_path / "copy.parquet", [replace(one, id=f"new-{one.id}") for one in rows(10)])
    config = config_of(tmp_path, 10, **{"data.eval_source": str(tmp_path / "copy.parquet")})
    with pytest.raises(DataError, match=r"both read what row 0 of copy.parquet \(new-mine-0\) holds"):
        check_sources(config)


def test_rows_that_are_trained_on_are_counted_and_refused_or_left_out(tmp_path: Path) -> None:
    mixed = [
        *rows(2, "other"),
        *(replace(one, id=f"new-{one.id}", answer="else") for one in rows(2)),
        *rows(4, "third"),
    ]
    write_samples(tmp_path / "other.parquet", mixed)
    config = config_of(tmp_path, 10, **{"data.eval_source": str(tmp_path / "other.parquet"), "evaluate.num_samples": 5})
    want = (
        r"2 of 5 samples to evaluate on are trained on as well .*, the first is row 2 of other.parquet \(new-mine-0\)"
    )
    with pytest.raises(DataError, match=want):
        samples_to_evaluate(config)
    told: list[str] = []
    kept = samples_to_evaluate(override_config(config, {"data.skip_bad": True}), say=told.append).samples
    assert ids(kept) == ["other-0", "other-1", "third-0", "third-1", "third-2"]
    assert len(told) == 1 and told[0].startswith("2 of 7 samples") and told[0].endswith("they are left out")


def test_rows_behind_those_to_label_that_repeat_one_are_refused(tmp_path: Path) -> None:
    write_samples(tmp_path / "mine.parquet", [*rows(4), replace(rows(1)[0], id="again", question="what  mine 0 ?\n")])
    config = tiny_config({"data.source": str(tmp_path / "mine.parquet"), "label.num_samples": 4})
    with pytest.raises(DataError, match=r"1 of 1 samples .* the first is row 4 of mine.parquet \(again\)"):
        samples_to_evaluate(config)


@pytest.mark.parametrize("change", [{"picture": b"another"}, {"question": "why ?"}], ids=list)
def test_other_question_or_picture_is_another_sample(change: dict[str, object]) -> None:
    (one,) = rows(1)
    assert content_id(one) == content_id(replace(one, id="x", answer="y", source="z"))
    assert content_id(one) != content_id(replace(one, **change))  # type: ignore[arg-type]


def test_bad_rows_left_out_are_told_once_though_the_reader_stops(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(rows(1)[0].picture)
    lines = [
        json.dumps({"problem": f"what {number} ?", "images": "a.png", "original_answer": "that" if number else ""})
        for number in range(10)
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    config = tiny_config({"data.source": str(tmp_path / "mine.jsonl"), "label.num_samples": 4, "data.skip_bad": True})
    told: list[str] = []
    assert len(list(samples_to_label(config, say=told.append))) == 4
    assert len(told) == 1 and "skipped 1 bad rows of 5. The first: line 1 of mine.jsonl" in told[0]


def test_picture_is_decoded_by_whoever_needs_it_and_its_row_is_named(tmp_path: Path) -> None:
    bad = replace(rows(1)[0], picture=b"<html>")
    write_samples(tmp_path / "mine.parquet", [*rows(3), bad])
    config = tiny_config({"data.source": str(tmp_path / "mine.parquet"), "label.num_samples": 4})
    *_, last = samples_to_label(config)
    with pytest.raises(
        DataError, match=r"^row 3 of mine.parquet \(mine-0#2\): 6 bytes starting with b'<html>' are no pic"
    ):
        decoded(last, config.data)


def test_first_row_is_checked_with_its_picture_before_work_begins(tmp_path: Path) -> None:
    write_samples(tmp_path / "mine.parquet", [replace(rows(1)[0], picture=b"<html>")])
    with pytest.raises(DataError, match=r"row 0 of mine.parquet .* are no picture"):
        check_sources(tiny_config({"data.source": str(tmp_path / "mine.parquet")}))


def test_no_row_left_to_evaluate_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no rows behind the first 4.*data\.eval_source"):
        samples_to_evaluate(config_of(tmp_path, 4))


def test_set_with_too_few_rows_to_evaluate_is_refused_before_it_is_labelled(tmp_path: Path) -> None:
    check_sources(config_of(tmp_path, 5))
    with pytest.raises(DataError, match=r"no rows behind the first 4.*lower label\.num_samples"):
        check_sources(config_of(tmp_path, 4))
    write_samples(tmp_path / "other.parquet", rows(2, source="other"))
    check_sources(config_of(tmp_path, 4, **{"data.eval_source": str(tmp_path / "other.parquet")}))


def test_check_data_refuses_unknown_families() -> None:
    with pytest.raises(ConfigError, match=r"unknown families \['nope'\]"):
        check_data(tiny_config({"data.held_out_families": ["nope"]}).data)
