import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from visionthink.cli.choosing import (
    choose_begun_run,
    choose_evaluated_run,
    choose_judged_run,
    choose_whole_run,
    publish_as_latest,
)
from visionthink.cli.settings import Settings
from visionthink.config import RunConfig, override_config
from visionthink.errors import ConfigError, UserError
from visionthink.runs import RunFolder, latest_run, point_latest

RUNS = Path("runs")


def now() -> datetime:
    return datetime(2026, 11, 23, 18, 30, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begun(name: str, seed: int = 0) -> RunFolder:
    folder = RunFolder(RUNS / name)
    folder.begin(RunConfig(seed=seed))
    point_latest(folder)
    return folder


def test_whole_run_goes_on_with_the_latest_unfinished_one() -> None:
    folder = begun("run-1", seed=4)
    chosen = choose_whole_run(Settings(overrides={"seed": 4}), run_id=None, fresh=False, now=now)
    assert chosen.folder == folder


def test_whole_run_in_a_folder_takes_that_runs_settings() -> None:
    folder = begun("run-1", seed=4)
    chosen = choose_whole_run(Settings(run_dir=folder.path), run_id=None, fresh=False, now=now)
    assert (chosen.folder, chosen.config.seed) == (folder, 4)


def test_whole_run_of_a_name_is_that_folder() -> None:
    chosen = choose_whole_run(Settings(), run_id="mine", fresh=False, now=now)
    assert chosen.folder.path == Path("runs/mine").absolute()


@pytest.mark.parametrize(("run_id", "fresh"), [("mine", False), (None, True)])
def test_whole_run_is_chosen_in_one_way_only(run_id: str | None, fresh: bool) -> None:
    with pytest.raises(ConfigError, match="--run-dir names the run"):
        choose_whole_run(Settings(run_dir=Path("x")), run_id=run_id, fresh=fresh, now=now)


def test_stage_works_on_the_latest_run_with_its_own_settings() -> None:
    folder = begun("run-1", seed=4)
    chosen = choose_begun_run(Settings())
    assert (chosen.folder, chosen.config.seed) == (folder, 4)


def test_stage_without_a_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no run in runs/ yet"):
        choose_begun_run(Settings())
    with pytest.raises(ConfigError, match="absent is no run"):
        choose_begun_run(Settings(run_dir=Path("absent")))


def model_in(folder: Path, card: dict[str, object] | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    if card is not None:
        (folder / "visionthink.json").write_text(json.dumps(card))
    return folder


def test_judged_model_gets_a_run_of_its_own() -> None:
    begun("run-1", seed=4)
    model = model_in(Path("model"))
    folder, config = choose_judged_run(Settings(overrides={"data.world_seed": 7}), model, now=now)
    assert config.evaluate.model == str(model.absolute())
    assert (config.seed, config.data.world_seed) == (0, 7)
    assert folder.run_id == f"evaluate-20261123-183005-{config.digest()}"


def test_judged_model_is_asked_as_its_card_says() -> None:
    model = model_in(Path("model"), {"episode": {"max_turns": 3}, "view": {"max_pixels": 50176}})
    _, config = choose_judged_run(Settings(overrides={"episode.max_reply_tokens": 9}), model, now=now)
    assert (config.episode.max_turns, config.view.max_pixels, config.episode.max_reply_tokens) == (3, 50176, 9)


@pytest.mark.parametrize("place", ["train", "register"])
def test_judged_model_of_a_run_is_held_against_that_runs_base(place: str) -> None:
    maker = RunFolder(RUNS / "run-1")
    maker.begin(override_config(RunConfig(), {"seed": 4, "model.base": "/own/base", "view.max_pixels": 50176}))
    model = model_in(maker.path / place / "model")
    folder, config = choose_judged_run(Settings(overrides={"data.world_seed": 7}), model, now=now)
    assert (config.model.base, config.view.max_pixels, config.seed) == ("/own/base", 50176, 4)
    assert config.data.world_seed == 7 and folder != maker


@pytest.mark.parametrize(
    ("asked", "headline", "apart"),
    [
        (["code", "color", "corner"], ("code", "color"), ("suffix", "corner")),
        (["code", "color"], ("code", "color"), ("suffix",)),
        (["corner"], ("corner",), ("suffix",)),
    ],
    ids=["one was never trained on", "all were trained on", "none would be left for the headline"],
)
def test_judged_model_keeps_families_that_it_was_not_trained_on_apart(
    asked: list[str], headline: tuple[str, ...], apart: tuple[str, ...]
) -> None:
    maker = begun("run-1")
    model = model_in(maker.trained_model)
    overrides = {"data.families": asked, "data.held_out_families": ["suffix"]}
    _, config = choose_judged_run(Settings(overrides=overrides), model, now=now)
    assert (config.data.families, config.data.held_out_families) == (headline, apart)


def test_judged_model_must_be_there() -> None:
    with pytest.raises(ConfigError, match="absent holds no model"):
        choose_judged_run(Settings(), Path("absent"), now=now)
    assert not RUNS.exists()


def test_evaluation_of_a_run_stays_in_it() -> None:
    folder = begun("run-1", seed=4)
    assert choose_evaluated_run(Settings(), now=now).folder == folder
    assert choose_evaluated_run(Settings(overrides={"seed": 4}), now=now).folder == folder


def test_evaluation_on_other_questions_gets_a_run_of_its_own() -> None:
    maker = begun("run-1", seed=4)
    model = model_in(maker.trained_model)
    for run_dir in (None, maker.path):
        overrides = {"data.world_seed": 77, "data.families": ["code", "color"]}
        folder, config = choose_evaluated_run(Settings(overrides=overrides, run_dir=run_dir), now=now)
        assert folder != maker and folder.runs_dir == maker.runs_dir
        assert config.evaluate.model == str(model.absolute())
        assert (config.seed, config.data.world_seed, config.data.families) == (4, 77, ("code", "color"))


def test_evaluation_on_other_questions_that_was_killed_is_gone_on_with() -> None:
    maker = begun("run-1", seed=4)
    model_in(maker.trained_model)
    settings = Settings(overrides={"data.world_seed": 77})
    first = choose_evaluated_run(settings, now=now)
    first.folder.begin(first.config)
    again = choose_evaluated_run(
        settings.with_overrides({"model.threads": 1}), now=lambda: datetime(2027, 1, 1, tzinfo=UTC)
    )
    assert again.folder == first.folder and latest_run(RUNS) == maker
    again.folder.begin(again.config)


def test_operational_settings_are_no_other_questions() -> None:
    folder = begun("run-1")
    chosen = choose_evaluated_run(Settings(overrides={"model.threads": 1}), now=now)
    assert (chosen.folder, chosen.config.model.threads) == (folder, 1)


@pytest.mark.parametrize("run_dir", ["runs/my run", "runs/missed", "elsewhere/latest"])
def test_folder_that_no_run_can_have_is_refused_before_anything_is_made(run_dir: str) -> None:
    settings = Settings(run_dir=Path(run_dir))
    with pytest.raises(UserError, match="cannot name a run"):
        choose_whole_run(settings, run_id=None, fresh=False, now=now)
    with pytest.raises(UserError, match="cannot name a run"):
        choose_begun_run(settings)
    assert not RUNS.exists()


def test_latest_named_as_a_folder_is_the_run_behind_it() -> None:
    folder = begun("run-1", seed=4)
    assert choose_begun_run(Settings(run_dir=RUNS / "latest")).folder == folder


def test_evaluation_with_another_training_is_still_refused() -> None:
    maker = begun("run-1")
    chosen = choose_evaluated_run(Settings(overrides={"train.num_steps": 9, "data.world_seed": 7}), now=now)
    assert chosen.folder == maker
    with pytest.raises(ConfigError, match="begin a new run with `visionthink label`"):
        chosen.folder.begin(chosen.config)


def test_latest_is_not_moved_to_a_folder_elsewhere() -> None:
    first = begun("run-1")
    publish_as_latest(choose_whole_run(Settings(run_dir=Path("elsewhere/run-2")), run_id=None, fresh=False, now=now))
    assert latest_run(RUNS) == first and not Path("elsewhere/latest").exists()


def test_latest_moves_to_a_new_run() -> None:
    begun("run-1")
    chosen = choose_whole_run(Settings(), run_id=None, fresh=True, now=now)
    chosen.folder.begin(chosen.config)
    publish_as_latest(chosen)
    assert latest_run(RUNS) == chosen.folder
