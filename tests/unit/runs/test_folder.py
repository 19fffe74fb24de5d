import json
from pathlib import Path

import pytest
from tests.fakes.stage_task import tiny_config

from visionthink.config import override_config
from visionthink.errors import ConfigError, DataError, UserError
from visionthink.runs import RunFolder, StageResult

CONFIG = tiny_config()


def test_run_folder_is_named_by_the_folder_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "run-1").mkdir()
    (tmp_path / "latest").symlink_to("run-1")
    assert RunFolder(tmp_path / "latest").run_id == "run-1"


def test_begin_keeps_the_settings_of_a_new_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run-1")
    folder.begin(CONFIG)
    assert folder.config() == CONFIG


def test_begin_goes_on_with_the_same_settings(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run-1")
    folder.begin(CONFIG)
    folder.begin(CONFIG)


def test_begin_refuses_other_settings_and_names_them(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run-1")
    folder.begin(CONFIG)
    with pytest.raises(ConfigError, match=r"train\.num_steps was 4, now 5.*new run with `visionthink label`"):
        folder.begin(override_config(CONFIG, {"train.num_steps": 5}))


def test_begin_takes_operational_settings_over_and_says_so(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run-1")
    folder.begin(CONFIG)
    other = override_config(CONFIG, {"model.threads": 3, "tracking.required": True})
    assert folder.begin(other) == ("model.threads was 1, now 3", "tracking.required was false, now true")
    assert folder.config() == other
    assert folder.begin(other) == ()
    folder.begin(CONFIG)
    changes = [json.loads(line) for line in (folder.path / "changes.jsonl").read_text().splitlines()]
    assert [change["model.threads"] for change in changes] == [{"was": 1, "now": 3}, {"was": 3, "now": 1}]


def test_change_that_a_kill_cut_short_is_kept_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run-1")
    folder.begin(CONFIG)
    before = folder.config_path.read_bytes()
    other = override_config(CONFIG, {"model.threads": 3})
    folder.begin(other)
    folder.config_path.write_bytes(before)
    assert folder.begin(other) == ("model.threads was 1, now 3",)
    assert len((folder.path / "changes.jsonl").read_text().splitlines()) == 1


def test_begin_with_a_wrong_setting_changes_none(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run-1")
    folder.begin(CONFIG)
    with pytest.raises(ConfigError, match=r"other settings: seed was 0, now 1\. A run"):
        folder.begin(override_config(CONFIG, {"model.threads": 3, "seed": 1}))
    assert folder.config() == CONFIG and not (folder.path / "changes.jsonl").exists()


@pytest.mark.parametrize("name", ["my run", "-x", ".x", "x" * 201, "größe", "latest", "mlartifacts", "missed"])
def test_begin_refuses_a_name_that_no_run_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot name a run"):
        RunFolder(tmp_path / name).begin(CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_config_of_no_run_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run-1 is no run"):
        RunFolder(tmp_path / "run-1").config()


def test_config_of_another_version_is_told_apart(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run-1")
    folder.path.mkdir()
    folder.config_path.write_text('{"train": {"gone": 1}}')
    with pytest.raises(ConfigError, match=r"not of this version: unknown key train\.gone.*fresh"):
        folder.config()


def test_result_survives_a_move_of_the_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "old")
    result = StageResult(
        metrics={"label/num_samples": 3.0},
        artifacts={"labels": folder.stage_dir("label") / "labels.jsonl"},
        confusion=((1, 2), (3, 4)),
        html=folder.report_path,
        facts={"label_agreement": 1.0},
    )
    folder.keep_result("label", result)
    folder.path.rename(tmp_path / "new")
    moved = RunFolder(tmp_path / "new").finished("label")
    assert moved.artifacts == {"labels": tmp_path / "new" / "label" / "labels.jsonl"}
    assert moved.html == tmp_path / "new" / "report.html"
    assert (moved.metrics, moved.confusion, moved.facts) == (result.metrics, result.confusion, result.facts)


def test_result_of_an_unfinished_stage_is_none(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.result("train") is None
    with pytest.raises(DataError, match=r"stage train .* is not done; run `visionthink train` first"):
        folder.finished("train")


@pytest.mark.parametrize("text", ["{", "[]", '{"metrics": 1}'], ids=["cut short", "a list", "a wrong type"])
def test_result_that_is_damaged_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train" / "result.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DataError):
        RunFolder(tmp_path).result("train")


def test_keep_result_takes_the_error_of_an_earlier_try_away(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.stage_dir("train").mkdir()
    folder.error_path("train").write_text(json.dumps({"message": "no", "exit_code": 2}))
    folder.keep_result("train", StageResult())
    assert not folder.error_path("train").exists()


def test_sweep_removes_what_a_kill_left_half_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    stage = folder.stage_dir("train")
    (stage / "deep" / ".tmp-a").mkdir(parents=True)
    (stage / "deep" / ".tmp-a" / "weights").write_text("half")
    (stage / ".tmp-b").write_text("half")
    (stage / "steps.jsonl").write_text("whole")
    folder.sweep("train")
    assert sorted(path.name for path in stage.rglob("*")) == ["deep", "steps.jsonl"]
