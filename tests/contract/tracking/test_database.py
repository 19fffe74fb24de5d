"""MLflow's own migrations, killed and raced."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from visionthink.errors import TrackingError
from visionthink.tracking import MlflowConnection, MlflowSettings

MAKE = """
import sys
from pathlib import Path
from visionthink.tracking import MlflowConnection, MlflowSettings
connection = MlflowConnection(MlflowSettings(tracking_uri=f"sqlite:///{sys.argv[1]}", experiment="mine"))
print(len(connection.call("count", lambda client: client.search_experiments())))
"""


def maker(path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "ignore", "-c", MAKE, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def num_experiments(path: Path) -> int:
    connection = MlflowConnection(MlflowSettings(tracking_uri=f"sqlite:///{path}", experiment="mine"))
    return len(connection.call("count", lambda client: client.search_experiments()))


def test_database_whose_maker_is_killed_is_made_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    process = maker(path)
    try:
        end_s = time.monotonic() + 120
        while not list(tmp_path.glob(".tmp-*.db")):
            assert process.poll() is None and time.monotonic() < end_s, process.communicate()
            time.sleep(0.01)
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
    assert not path.exists()
    assert num_experiments(path) == 1
    assert list(tmp_path.glob(".tmp-*")) == []


def test_database_is_made_once_by_processes_that_start_together(tmp_path: Path) -> None:
    processes = [maker(tmp_path / "mlflow.db") for _ in range(2)]
    told = [process.communicate(timeout=150) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert [stdout for stdout, _ in told] == ["1\n", "1\n"]
    assert list(tmp_path.glob(".tmp-*")) == []


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_text("no database")], ids=["folder", "text"])
def test_database_that_is_none_is_told_at_once(tmp_path: Path, make: object) -> None:
    path = tmp_path / "mlflow.db"
    make(path)  # type: ignore[operator]
    start_s = time.monotonic()
    with pytest.raises(TrackingError, match="cannot count at sqlite"):
        num_experiments(path)
    assert time.monotonic() - start_s < 20
