"""Whole runs on machines as companies have them: proxies, odd folders, users without a name, read-only disks."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.e2e.program import PROGRAM, Ended, Program

from visionthink.tracking import MlflowConnection, MlflowSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SMALL: Final = {
    "label.num_samples": 24,
    "train.num_steps": 2,
    "train.num_prompts": 2,
    "train.group_size": 2,
    "evaluate.num_samples": 8,
    "evaluate.num_held_out_samples": 2,
    "evaluate.num_latency_samples": 2,
    "evaluate.num_examples": 1,
    "evaluate.num_bootstraps": 20,
}
NOBODY: Final = "54321"


@pytest.fixture
def small(program: Program) -> Program:
    """The program with settings for the shortest of runs."""
    return replace(program, settings=SMALL)


@pytest.fixture
def refusing_proxy() -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that answers 502 to everything: its port, and what it was asked."""
    asked: list[bytes] = []

    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=answer, daemon=True).start()
    yield listener.getsockname()[1], asked
    listener.close()


def test_run_asks_no_proxy_for_its_own_servers(small: Program, refusing_proxy: tuple[int, list[bytes]]) -> None:
    port, asked = refusing_proxy
    proxies = {
        "HTTP_PROXY": f"http://127.0.0.1:{port}",
        "https_proxy": f"http://127.0.0.1:{port}",
        "ALL_PROXY": f"socks5://127.0.0.1:{port}",
        "all_proxy": f"socks5://127.0.0.1:{port}",
    }
    variables = [f"{name}={value}" for name, value in proxies.items()]
    ended = small.run_command(["env", *variables, *small.command("run")])
    assert ended.code == 0, ended.stderr
    assert asked == []


def in_namespace(script: str, *arguments: str, command: Sequence[str]) -> list[str]:
    """A command in a mount namespace of its own, which `script` arranges; skips where the machine forbids that."""
    allowed = ["unshare", "-m", "mount", "--make-rprivate", "/"]
    if shutil.which("unshare") is None or subprocess.run(allowed, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a mount namespace (unshare -m)")
    lines = f'set -eu; mount --make-rprivate /; {script}; cd "$1"; shift {len(arguments)}; exec "$@"'
    return ["unshare", "-m", "bash", "-c", lines, "bash", *arguments, *command]


def test_run_ends_well_where_nothing_is_as_usual(small: Program, tmp_path: Path) -> None:
    """A user without an entry or a home, a read-only root, an ASCII locale, an odd folder, words of Kubeflow's."""
    home, temporary = tmp_path / 't 1#2?3 it\'s "ü" {{$}} python3 %41', tmp_path / "temporary"
    for folder in (home, temporary):
        folder.mkdir()
    name = "vqa {{$.pipeline_job_name}} {{workflow.name}} {{channel:task=;name=x;type=String;}} python3 /kfp-workspace"
    odd = replace(small, home=home, settings={**SMALL, "serve.model_name": name})
    bare = ["env", "-i", "PATH=/usr/bin:/bin", f"TMPDIR={temporary}", "LC_ALL=C"]
    bare += ["PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0", "PYTHONDONTWRITEBYTECODE=1"]
    as_nobody = ["unshare", "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}", *bare]
    read_only = 'mount --bind "$1" "$1"; mount --bind "$2" "$2"; mount -o remount,ro,bind /'
    command = in_namespace(read_only, str(home), str(temporary), command=[*as_nobody, *odd.command("run")])
    ended = odd.run_command(command)
    assert ended.code == 0, ended.stderr
    assert "Traceback" not in ended.stderr and "(a bug" not in ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {home.name, "temporary"}
    runs = {path.name for path in (home / "runs").iterdir()}
    assert {"mlflow.db", "mlartifacts", "latest"} <= runs
    served = json.loads((odd.latest / "config.json").read_text())["serve"]["model_name"]
    assert served == name


def test_run_says_that_no_temporary_folder_can_be_written(small: Program) -> None:
    small.home.mkdir()
    read_only = 'mount --bind /tmp /tmp; mount --bind "$1" "$1"; mount -o remount,ro,bind /tmp'
    ended = small.run_command(
        in_namespace(read_only, str(small.home), command=["env", "-u", "TMPDIR", *small.command("run")])
    )
    assert ended.code == 2, ended.stderr
    assert ended.stderr.startswith("error: no temporary folder can be written: /tmp: Read-only file system; let TMPDIR")
    assert list(small.home.iterdir()) == []


SECRET: Final = "open-sesame"


def test_tracker_that_was_away_for_a_whole_run_is_told_all_by_register(small: Program, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.write_text("a file where the folder of the tracker should be")
    uri = f"sqlite:///{away}/mlflow.db"

    def run(*arguments: str) -> Ended:
        return small.run_command(["env", f"MLFLOW_TRACKING_URI={uri}", *arguments])

    ended = run(*small.command("run", "--direct"))
    assert ended.code == 0, ended.stderr
    assert "going on without it" in ended.stderr and "`visionthink register` makes up for it" in ended.stdout
    assert json.loads((small.latest / "summary.json").read_text())["model_version"] is None
    away.unlink()
    ended = run(str(PROGRAM), "register")
    assert ended.code == 0, ended.stderr
    assert json.loads((small.latest / "summary.json").read_text())["model_version"] == "1"
    assert list((small.latest / "missed").iterdir()) == []

    def states(client: "MlflowClient") -> dict[str, str]:
        experiment = client.get_experiment_by_name("visionthink")
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id])
        return {str(run.data.tags["visionthink.stage"]): str(run.info.status) for run in found}

    connection = MlflowConnection(MlflowSettings(tracking_uri=uri, experiment="visionthink"))
    stages = ("label", "train", "evaluate", "register", "serve", "pipeline")
    assert connection.call("read", states) == dict.fromkeys(stages, "FINISHED")


def test_password_of_a_tracker_stays_in_the_settings_alone(small: Program) -> None:
    uri = f"http://me:{SECRET}@127.0.0.1:1"
    guarded = replace(small, settings={**SMALL, "tracking.uri": uri, "tracking.timeout_s": 1})
    ended = guarded.run("run")
    assert ended.code == 0, ended.stderr
    assert SECRET not in ended.stderr + ended.stdout
    files = [path for path in guarded.home.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {path.name for path in files if SECRET.encode() in path.read_bytes()} == {"config.json"}
