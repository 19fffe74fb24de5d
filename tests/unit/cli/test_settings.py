from pathlib import Path
from typing import Any

import pytest

from visionthink.cli.settings import Settings, _settings, names
from visionthink.config import RunConfig, override_config
from visionthink.errors import ConfigError

FILE = "seed = 3\n[train]\nnum_steps = 7\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(FILE)
    return path


def test_settings_without_options_are_the_defaults() -> None:
    assert Settings().resolve() == RunConfig()


def test_option_wins_over_the_file(file: Path) -> None:
    config = Settings(config=file, overrides={"seed": 5}).resolve()
    assert (config.seed, config.train.num_steps) == (5, 7)


def test_option_changes_the_settings_of_a_run() -> None:
    base = override_config(RunConfig(), {"train.num_steps": 9})
    config = Settings(overrides={"seed": 5}).resolve(base)
    assert (config.seed, config.train.num_steps) == (5, 9)


def test_file_takes_the_place_of_the_settings_of_a_run(file: Path) -> None:
    base = override_config(RunConfig(), {"train.num_steps": 9, "train.group_size": 3})
    config = Settings(config=file).resolve(base)
    assert (config.seed, config.train.num_steps, config.train.group_size) == (3, 7, RunConfig().train.group_size)


def test_later_overrides_win() -> None:
    settings = Settings(overrides={"seed": 1}).with_overrides({"seed": 2})
    assert settings.resolve().seed == 2


def test_wrong_override_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown key nope"):
        Settings(overrides={"nope": 1}).resolve()


@pytest.mark.parametrize(
    ("text", "want"), [(None, None), ("", []), ("code", ["code"]), (" code, color ,", ["code", "color"])]
)
def test_names_are_separated_by_commas(text: str | None, want: list[str] | None) -> None:
    assert names(text) == want


def test_paths_lead_to_the_same_place_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"model.base": "base", "data.source": "rows.parquet", "register_model.store": "s3://models/mine"}
    config = Settings(overrides=given).resolve()
    assert (config.model.base, config.data.source) == (f"{tmp_path}/base", f"{tmp_path}/rows.parquet")
    assert config.register_model.store == "s3://models/mine" and config.data.eval_source is None


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({"families": "code color"}, ("corner", "suffix")),
        ({"families": "code,corner"}, ("suffix",)),
        ({"families": "corner, suffix"}, ()),
        ({"families": "code", "held_out_families": "corner"}, ("corner",)),
        ({"families": "code,corner", "set_": ["data.held_out_families=['axis']"]}, ("axis",)),
    ],
    ids=["none of them is held out", "one is", "both are", "who names both lists means them", "however"],
)
def test_family_asked_for_by_name_is_not_held_out(options: dict[str, Any], want: tuple[str, ...]) -> None:
    data = _settings(**options).resolve().data
    assert data.held_out_families == want
    assert list(data.families) == options["families"].replace(",", " ").split()


def test_family_asked_for_by_name_is_taken_off_the_list_of_the_run_or_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[data]\nfamilies = ["code"]\nheld_out_families = ["axis", "mark"]\n')
    assert _settings(families="code,mark", config=path).resolve().data.held_out_families == ("axis",)
    run = override_config(RunConfig(), {"data.families": ["code"], "data.held_out_families": ["color", "shape"]})
    asked = _settings(families="shape,count")
    assert asked.with_overrides({"seed": 1}).resolve(run).data.held_out_families == ("color",)


def test_more_contenders_are_named_one_option_each() -> None:
    config = _settings(contender=["always_high+fastv@.5", "trained+visionzip@0.25"]).resolve()
    assert config.evaluate.contenders == ("always_high+fastv@0.5", "trained+visionzip@0.25")
