from pathlib import Path

import pytest

from visionthink import stage
from visionthink.cli.app import run_command
from visionthink.config import RunConfig
from visionthink.runs import RunFolder, StageResult, latest_run, point_latest

RUNS = Path("runs")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and stages that are done at once."""

    def run_stage(name: str, config_json: str, run_dir: str) -> None:
        RunFolder(Path(run_dir)).keep_result(name, StageResult())  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "run_stage", run_stage)
    monkeypatch.chdir(tmp_path)


def begun(name: str) -> RunFolder:
    folder = RunFolder(RUNS / name)
    folder.begin(RunConfig())
    return folder


@pytest.mark.parametrize("command", ["label", "train", "register"])
def test_stage_that_works_on_an_older_run_leaves_latest_where_it_is(command: str) -> None:
    old, new = begun("old"), begun("new")
    point_latest(new)
    assert run_command([command, "--run-dir", "runs/old"]) == 0
    assert latest_run(RUNS) == new and old.result(command) is not None  # type: ignore[arg-type]


def test_stage_that_begins_a_run_lets_latest_point_at_it() -> None:
    point_latest(begun("old"))
    assert run_command(["label", "--run-dir", "runs/new"]) == 0
    latest = latest_run(RUNS)
    assert latest is not None and latest.run_id == "new"


def test_stage_of_a_run_that_was_killed_at_its_beginning_lets_latest_point_at_it() -> None:
    only = begun("only")
    assert run_command(["train", "--run-dir", "runs/only"]) == 0
    assert latest_run(RUNS) == only


def test_stage_that_works_on_the_latest_run_leaves_it_the_latest() -> None:
    new = begun("new")
    point_latest(new)
    assert run_command(["train"]) == 0
    assert latest_run(RUNS) == new
