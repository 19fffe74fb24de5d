import io
from pathlib import Path

import pytest
from PIL import Image
from tests.fakes.stage_task import tiny_config

from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.datasets.parquet import write_samples
from visionthink.errors import ConfigError, DataError
from visionthink.samples import check_data, samples_to_evaluate, samples_to_label


def rows(count: int, source: str = "mine") -> list[Sample]:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format="PNG")
    return [
        Sample(
            id=f"{source}-{index}",
            question="what ?",
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


def test_no_row_left_to_evaluate_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no rows behind the first 4.*data\.eval_source"):
        samples_to_evaluate(config_of(tmp_path, 4))


def test_check_data_refuses_unknown_families() -> None:
    with pytest.raises(ConfigError, match=r"unknown families \['nope'\]"):
        check_data(tiny_config({"data.held_out_families": ["nope"]}).data)
