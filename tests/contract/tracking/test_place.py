"""Runs whose folder has an odd name, was moved or was copied: MLflow's database holds addresses."""

import shutil
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service import utils as mlflow_memory
from tests.contract.tracking.test_tracker import artifacts

from visionthink.tracking import (
    MlflowConnection,
    MlflowRegistry,
    MlflowSettings,
    MlflowTracker,
    RunSpec,
    RunStatus,
    keep_text,
)

SPEC = RunSpec(run_id="run-1", stage="train")


def connection(runs_dir: Path) -> MlflowConnection:
    """As a process of its own has it: mlflow remembers the folder of a run as long as its process lives."""
    mlflow_memory._artifact_repos_cache.clear()
    return MlflowConnection(MlflowSettings.from_env({}, runs_dir=runs_dir, experiment="mine"))


def record(runs_dir: Path, name: str) -> None:
    run = MlflowTracker(connection(runs_dir)).start_run(SPEC)
    keep_text(run, runs_dir.parent / name, name)
    run.end(RunStatus.FINISHED)


def below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.txt")}


@pytest.mark.parametrize("name", ["t 1#2?3", "100%", "a%3Fb", 'it\'s "q"', "ü", "{{$}}", "a?b=c&d", "plus+and;"])
def test_database_and_artifacts_lie_in_the_runs_folder_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    runs_dir = tmp_path / name / "runs"
    record(runs_dir, "a.txt")
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert {path.name for path in runs_dir.iterdir()} - {".mlflow.db.lock"} == {"mlflow.db", "mlartifacts"}
    assert below(runs_dir / "mlartifacts") == {"a.txt"}
    assert artifacts(connection(runs_dir), "", tmp_path) == {"a.txt": b"a.txt"}


@pytest.mark.parametrize("how", ["moved", "copied", "moved twice", "moved to an odd name"])
def test_artifacts_follow_the_runs_folder(tmp_path: Path, how: str) -> None:
    old, new = tmp_path / "old", tmp_path / ("new ?%41" if "odd" in how else "new")
    record(old / "runs", "a.txt")
    model = old / "model"
    model.mkdir()
    (model / "weights.txt").write_text("w")
    made = MlflowRegistry(connection(old / "runs")).register("m", model, RunSpec(run_id="run-1", stage="register"))
    if how == "moved twice":
        old.rename(tmp_path / "between")
        record(tmp_path / "between" / "runs", "b.txt")
        (tmp_path / "between").rename(new)
    elif how == "copied":
        shutil.copytree(old, new)
    else:
        old.rename(new)
    record(new / "runs", "c.txt")
    want = {"a.txt", "weights.txt", "c.txt"} | ({"b.txt"} if how == "moved twice" else set())
    assert below(new / "runs" / "mlartifacts") == want
    assert old.exists() is (how == "copied")
    assert set(artifacts(connection(new / "runs"), "", tmp_path)) == want - {"weights.txt"}
    found = MlflowRegistry(connection(new / "runs")).fetch(made, tmp_path / "fetched")
    assert (found / "weights.txt").read_text() == "w"


def test_addresses_that_somebody_chose_stay_as_they_are(tmp_path: Path) -> None:
    old, elsewhere = tmp_path / "old", tmp_path / "elsewhere" / "mlartifacts" / "mine"
    record(old / "runs", "a.txt")
    connection(old / "runs").call(
        "create", lambda client: client.create_experiment("chosen", artifact_location=elsewhere.as_uri())
    )
    old.rename(tmp_path / "new")
    found = connection(tmp_path / "new" / "runs").call("get", lambda client: client.get_experiment_by_name("chosen"))
    assert found is not None and found.artifact_location == elsewhere.as_uri()


def test_sqlite_tracker_that_is_named_keeps_artifacts_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    database = shutil.copy(empty_database, tmp_path / "data" / "x.db")
    settings = MlflowSettings.from_env(
        {"MLFLOW_TRACKING_URI": f"sqlite:///{database}"}, runs_dir=tmp_path / "runs", experiment="mine"
    )
    keep_text(MlflowTracker(MlflowConnection(settings)).start_run(SPEC), tmp_path / "a.txt", "a")
    assert below(tmp_path / "data" / "mlartifacts") == {"a.txt"}
    assert list((tmp_path / "cwd").iterdir()) == []
