"""The training's job through a real back end: processes of this machine."""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from visionthink.cluster.training import JobState, LocalProcessBackend, PodFields, TrainingJob, job_name
from visionthink.config import RunConfig, override_config
from visionthink.errors import ClusterError, ConfigError, DataError
from visionthink.pipelines.cluster.launching import check_gpus, follow, pod_fields, submit_or_adopt
from visionthink.runs import RunFolder
from visionthink.runs.failure import Failure, keep_failure

ENV = {"PATH": "/usr/bin:/bin"}


@dataclass
class Task:
    """Kubeflow's `dsl.TaskConfig`."""

    affinity: Any = None
    tolerations: Any = None
    node_selector: Any = None
    env: Any = None
    volumes: Any = None
    volume_mounts: Any = None
    resources: Any = None


def config(script: str) -> RunConfig:
    return override_config(RunConfig(), {"cluster.training.command": ["/bin/sh", "-c", script]})


@pytest.fixture
def backend(tmp_path: Path) -> LocalProcessBackend:
    return LocalProcessBackend(tmp_path / "jobs", env=ENV, grace_s=5)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "run-1").mkdir()
    return RunFolder(tmp_path / "run-1")


def test_training_is_told_its_folder_and_its_lines_are_shown(
    backend: LocalProcessBackend, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    follow(backend, config('echo "$0 $*" > "$2/told"'), folder)
    assert (folder.path / "told").read_text().split() == ["train", "--run-dir", str(folder.path)]
    assert "succeeded" in capsys.readouterr().out


def test_job_of_an_earlier_try_is_adopted_whatever_it_was_told(
    backend: LocalProcessBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    first = submit_or_adopt(backend, TrainingJob(run_id="run", program=("/bin/sh", "-c", "exec sleep 100")))
    again = submit_or_adopt(backend, TrainingJob(run_id="run", program=("/bin/sh", "-c", "exit 3")))
    assert again == first == job_name("run")
    assert "going on with job" in capsys.readouterr().out
    assert backend.describe(first).state is JobState.RUNNING
    backend.cancel(first)


def test_job_that_failed_is_made_anew(backend: LocalProcessBackend, tmp_path: Path) -> None:
    script = f"[ -e {tmp_path}/kept ] && exit 0; touch {tmp_path}/kept; exit 200"
    job = TrainingJob(run_id="run", program=("/bin/sh", "-c", script))
    states = []
    for _ in range(2):
        name = submit_or_adopt(backend, job)
        states.append(backend.wait(name, timeout_s=60, on_change=lambda _: None).state)
    assert states == [JobState.FAILED, JobState.SUCCEEDED]


@pytest.mark.parametrize(
    ("why", "kind", "told"),
    [
        (None, ClusterError, "exit code 3"),
        (Failure("TrainingError", "veRL ended early", 1), ClusterError, "veRL ended early"),
        (Failure("ConfigError", "give it less", 2), ConfigError, "^give it less$"),
    ],
)
def test_training_that_failed_says_why(
    backend: LocalProcessBackend, folder: RunFolder, why: Failure | None, kind: type[Exception], told: str
) -> None:
    if why is not None:
        keep_failure(folder.error_path("train"), why)
    with pytest.raises(kind, match=told):
        follow(backend, config("exit 3"), folder)


CHILD = """
import sys
from pathlib import Path
from visionthink.cluster.training import LocalProcessBackend
from visionthink.config import RunConfig, override_config
from visionthink.pipelines.cluster.launching import follow
from visionthink.runs import RunFolder
place, run = Path(sys.argv[1]), Path(sys.argv[2])
command = ["/bin/sh", "-c", "echo here > $2/here; sleep 600"]
settings = override_config(RunConfig(), {"cluster.training.command": command})
follow(LocalProcessBackend(place, env={"PATH": "/usr/bin:/bin"}, grace_s=5), settings, RunFolder(run))
"""


def test_launcher_that_is_told_to_end_removes_its_job(
    backend: LocalProcessBackend, folder: RunFolder, tmp_path: Path
) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "jobs"), str(folder.path)]) as process:
        deadline_s = time.monotonic() + 60
        while not (folder.path / "here").exists():
            assert process.poll() is None and time.monotonic() < deadline_s
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    with pytest.raises(DataError):
        backend.describe(job_name("run-1"))


def test_what_a_task_is_given_is_the_jobs() -> None:
    task = Task(
        env=[
            {"name": "A", "value": "1"},
            {"name": "KFP_RUN_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['pipeline/runid']"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        volumes=[{"name": "runs", "persistentVolumeClaim": {"claimName": "runs"}}],
        volume_mounts=[{"name": "runs", "mountPath": "/runs"}],
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        node_selector={"gpu": "h100"},
        affinity={"nodeAffinity": {}},
        resources={"limits": {"nvidia.com/gpu": "8"}, "requests": None},
    )
    found = pod_fields(task, {})
    assert [one["name"] for one in found.env] == ["A", "KEY"], "what is read off a pod is another pod's business"
    assert found.num_gpus == 8 and "requests" not in found.resources
    assert (found.node_selector, found.affinity) == ({"gpu": "h100"}, {"nodeAffinity": {}})
    assert (len(found.volumes), len(found.mounts), len(found.tolerations)) == (1, 1, 1)
    assert pod_fields(Task(), {}) == PodFields()


def test_run_that_kubeflow_began_in_the_tracker_is_told_to_the_nodes_and_no_password() -> None:
    env = {
        "MLFLOW_RUN_ID": "7",
        "MLFLOW_TRACKING_URI": "http://m",
        "MLFLOW_TRACKING_PASSWORD": "hush",
        "MLFLOW_EXPERIMENT_ID": "3",
    }
    told = {str(one["name"]): one["value"] for one in pod_fields(Task(), env).env}
    assert told == {"MLFLOW_RUN_ID": "7", "MLFLOW_TRACKING_URI": "http://m", "MLFLOW_EXPERIMENT_ID": "3"}
    given = Task(env=[{"name": "MLFLOW_TRACKING_URI", "value": "http://task"}])
    assert {one["name"]: one["value"] for one in pod_fields(given, env).env}["MLFLOW_TRACKING_URI"] == "http://task"
    assert pod_fields(Task(), {"MLFLOW_TRACKING_URI": "http://m"}).env == ()


@pytest.mark.parametrize(("asked", "fits"), [(None, True), ("1", True), ("8", False)])
def test_gpus_of_the_task_are_those_that_verl_is_told_of(asked: str | None, fits: bool) -> None:
    fields = PodFields(resources={} if asked is None else {"limits": {"nvidia.com/gpu": asked}})
    if fits:
        check_gpus(RunConfig(), fields)
    else:
        with pytest.raises(ConfigError, match=r"asks for 8 GPUs a node and verl\.gpus_per_node is 1"):
            check_gpus(RunConfig(), fields)
