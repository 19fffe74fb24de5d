import subprocess
import sys
import time
from pathlib import Path

import pytest

from visionthink.errors import TrackingError, UserError
from visionthink.tracking import MlflowConnection, MlflowSettings, NullTracker, RunSpec, flatten, open_tracking


def test_flatten_gives_dotted_names_and_json_values() -> None:
    config = {"seed": 3, "train": {"lr": 1e-4, "rule": "paper", "deep": {"on": True, "off": None}}, "mix": [1, "a"]}
    assert flatten(config) == {
        "seed": "3",
        "train.lr": "0.0001",
        "train.rule": "paper",
        "train.deep.on": "true",
        "train.deep.off": "null",
        "mix": '[1, "a"]',
    }


def test_flatten_writes_what_json_does_not_know_as_text() -> None:
    assert flatten({"where": Path("a/b"), "empty": {}}) == {"where": '"a/b"'}


def test_flatten_shows_no_password_and_no_key() -> None:
    config = {
        "tracking": {"uri": "http://me:secret@mlflow:5000"},
        "judge": {"uri": "openai:https://h/v1?model=m&api_key=secret"},
        "endpoints": ["openai:http://a:secret@h/v1?model=m", "http://h/v1?token=secret"],
    }
    flat = flatten(config)
    assert "secret" not in str(flat)
    assert flat["tracking.uri"] == "http://mlflow:5000"
    assert flat["endpoints"] == '["openai:http://h/v1?model=m", "http://h/v1?token=***"]'


@pytest.mark.parametrize("name", ["", "a b", "it's", "../up", "a/b", "-a", "x" * 201])
def test_run_spec_refuses_names_that_cannot_stand_in_a_query(name: str) -> None:
    with pytest.raises(UserError, match="cannot name a run"):
        RunSpec(run_id=name, stage="train")
    with pytest.raises(UserError, match="cannot name a run"):
        RunSpec(run_id="run-1", stage=name)


def test_mlflow_settings_default_to_a_database_beside_the_runs(tmp_path: Path) -> None:
    got = MlflowSettings.from_env({}, runs_dir=tmp_path, experiment="x")
    assert got.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert got.artifact_root == tmp_path / "mlartifacts"
    assert (got.experiment, got.experiment_id, got.parent_run_id) == ("x", None, None)


def test_mlflow_settings_follow_the_environment(tmp_path: Path) -> None:
    env = {
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        "MLFLOW_EXPERIMENT_NAME": "mine",
        "MLFLOW_EXPERIMENT_ID": "7",
        "MLFLOW_RUN_ID": "abc",
    }
    got = MlflowSettings.from_env(env, runs_dir=tmp_path, experiment="x")
    assert (got.tracking_uri, got.artifact_root) == ("http://mlflow:5000", None)
    assert (got.experiment, got.experiment_id, got.parent_run_id) == ("mine", "7", "abc")


def test_mlflow_settings_prefer_what_they_are_told(tmp_path: Path) -> None:
    env = {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    got = MlflowSettings.from_env(env, runs_dir=tmp_path, experiment="x", uri="http://other:1", timeout_s=2.2)
    assert (got.tracking_uri, got.artifact_root, got.request_timeout_s) == ("http://other:1", None, 3)


def test_mlflow_settings_treat_empty_variables_as_unset(tmp_path: Path) -> None:
    got = MlflowSettings.from_env({"MLFLOW_TRACKING_URI": "", "MLFLOW_RUN_ID": ""}, runs_dir=tmp_path, experiment="x")
    assert got.tracking_uri.startswith("sqlite:") and got.parent_run_id is None


def test_tracking_none_keeps_nothing(tmp_path: Path) -> None:
    tracking = open_tracking("none", env={}, runs_dir=tmp_path)
    assert isinstance(tracking.tracker, NullTracker)
    assert list(tmp_path.iterdir()) == []


def test_mlflow_error_hides_the_password_and_keeps_one_line() -> None:
    connection = MlflowConnection(MlflowSettings(tracking_uri="http://me:secret@127.0.0.1:1/x", experiment="x"))

    def fail(client: object) -> None:
        raise ValueError("first line of http://me:secret@127.0.0.1:1/x/api\nsecond line")

    with pytest.raises(TrackingError) as caught:
        connection.call("do it", fail)
    assert str(caught.value) == "cannot do it at http://127.0.0.1:1/x: first line of http://127.0.0.1:1/x/api"


@pytest.mark.parametrize("fault", ["a folder", "garbage"])
def test_mlflow_error_tells_at_once_that_a_database_cannot_be_opened(tmp_path: Path, fault: str) -> None:
    if fault == "a folder":
        (tmp_path / "m.db").mkdir()
    else:
        (tmp_path / "m.db").write_bytes(b"not a database, but long enough to be one" * 100)
    connection = MlflowConnection(MlflowSettings(tracking_uri=f"sqlite:///{tmp_path}/m.db", experiment="x"))
    began_s = time.monotonic()
    with pytest.raises(TrackingError, match=r"file is not a database|unable to open database file"):
        connection.call("open", lambda client: client.search_experiments())
    assert time.monotonic() - began_s < 20, "mlflow's own tries take 100 seconds"


def test_tracking_loads_mlflow_only_when_a_run_starts() -> None:
    code = (
        "import sys; from pathlib import Path; from visionthink.tracking import open_tracking\n"
        "open_tracking('mlflow', env={}, runs_dir=Path('x'))\n"
        "print(sorted(set(sys.modules) & {'mlflow', 'torch', 'pandas', 'sqlalchemy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
