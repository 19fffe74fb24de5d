import sys
from pathlib import Path

import pytest

from visionthink.cli.app import run_command
from visionthink.config import RunConfig, override_config
from visionthink.runs import RunFolder, point_latest


class Replaced(BaseException):
    """Stands for the process that becomes another program."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The command line of the program that the process becomes."""
    arguments: list[str] = []

    def execv(path: str, given: list[str]) -> None:
        arguments.extend(given)
        raise Replaced

    monkeypatch.setattr("os.execv", execv)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return arguments


def test_ui_opens_the_database_beside_the_runs(started: list[str], tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").touch()
    with pytest.raises(Replaced):
        run_command(["ui", "--port", "5001"])
    assert started[:4] == [sys.executable, "-m", "mlflow", "server"]
    assert f"sqlite:///{tmp_path}/runs/mlflow.db" in started and started[-1] == "5001"


def test_ui_opens_the_database_that_the_environment_names(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////data/mlflow.db")
    with pytest.raises(Replaced):
        run_command(["ui"])
    assert "sqlite:////data/mlflow.db" in started


def test_ui_names_a_server_that_has_pages_of_its_own(
    started: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert run_command(["ui"]) == 2
    assert "http://mlflow:5000" in capsys.readouterr().err and started == []


def begun(tmp_path: Path, uri: str) -> None:
    folder = RunFolder(tmp_path / "runs" / "run-1")
    folder.begin(override_config(RunConfig(), {"tracking.uri": uri}))
    point_latest(folder)


def test_ui_opens_what_the_latest_run_was_recorded_in(
    started: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////data/other.db")
    begun(tmp_path, "sqlite:////data/mlflow.db")
    with pytest.raises(Replaced):
        run_command(["ui"])
    assert "sqlite:////data/mlflow.db" in started


def test_ui_names_the_server_of_the_latest_run_without_its_password(
    started: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path, "http://me:secret@mlflow:5000")
    assert run_command(["ui"]) == 2
    assert "at http://mlflow:5000;" in capsys.readouterr().err and started == []


def test_ui_names_the_address_as_a_browser_takes_it(
    started: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").touch()
    with pytest.raises(Replaced):
        run_command(["ui", "--host", "[::1]"])
    assert "MLflow on http://[::1]:5000" in capsys.readouterr().err
    assert started[started.index("--host") + 1] == "::1"


def test_ui_tells_of_a_database_that_is_none(
    started: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_text("no database, but long enough to be one " * 100)
    assert run_command(["ui"]) == 2
    assert "mlflow.db cannot be opened" in capsys.readouterr().err and started == []
