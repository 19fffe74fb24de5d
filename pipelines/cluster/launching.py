"""The step `train`: makes the training's job, or adopts the one that an earlier try made, and follows it to its end.

Rule: the job is named after the run, so whoever tries again finds it; what is found under that name was made of these
settings, since no other run is called so. What the task was given on Kubeflow's side (GPUs, volumes, tolerations,
variables) is the job's, and this pod stays small. A step that is told to end takes its job along; the next try goes on
from its last checkpoint.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, NoReturn, Protocol

from visionthink.cluster.training import JobReport, JobState, PodFields, TrainingBackend, TrainingJob, job_name
from visionthink.config import RunConfig, parse_config
from visionthink.errors import ClusterError, ConfigError, DataError, VisionThinkError
from visionthink.pipelines.artifact import Artifact, restore
from visionthink.pipelines.cluster.cache_key import version_of
from visionthink.pipelines.cluster.fields import MLFLOW_RUN
from visionthink.pipelines.cluster.place import check_key, say, told
from visionthink.pipelines.display import MetricsArtifact
from visionthink.pipelines.parameter import whole_config
from visionthink.pipelines.step import run_step
from visionthink.runs import RunFolder
from visionthink.runs.failure import read_failure

_LONGEST_S: Final = 14 * 24 * 3600.0
_REFUSED: Final = 2
_MLFLOW: Final = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", MLFLOW_RUN, "MLFLOW_WORKSPACE")
"""What Kubeflow's MLflow plugin gives a step and the nodes need too; who they are, they are told by Secrets."""


class TaskFields(Protocol):
    """What is used of Kubeflow's `dsl.TaskConfig`; each is None where the task was given none."""

    affinity: Mapping[str, Any] | None
    tolerations: Sequence[Mapping[str, Any]] | None
    node_selector: Mapping[str, str] | None
    env: Sequence[Mapping[str, Any]] | None
    volumes: Sequence[Mapping[str, Any]] | None
    volume_mounts: Sequence[Mapping[str, Any]] | None
    resources: Mapping[str, Any] | None


def train_step(
    config: str, key: str, task: TaskFields, labels: Artifact, model: Artifact, metrics: MetricsArtifact
) -> None:
    """Train, in a job of several nodes where the settings say so, else in this pod.

    Raises:
        SystemExit: the training failed, or was told to end.
    """
    with told("train") as folder:
        check_key(key)
        restore(labels, folder.path)
        settings = parse_config(whole_config(config, folder.path))
        if settings.train.backend == "verl" and not folder.is_done("train"):
            from visionthink.cluster.training.pytorch_job_client import PyTorchJobBackend

            folder.begin(settings)
            fields = pod_fields(task, os.environ)
            check_gpus(settings, fields)
            follow(PyTorchJobBackend.connect(settings, fields=fields), settings, folder)
            _check_seen(folder)
        run_step("train", config, str(folder.path), version_of(key), output=model, metrics=metrics)


def follow(backend: TrainingBackend, config: RunConfig, folder: RunFolder) -> None:
    """Have the run's job come to its end.

    Raises:
        ConfigError: it failed by something that the user can mend.
        ClusterError: it failed; another try goes on.
    """
    job = TrainingJob(
        run_id=folder.run_id,
        program=(*config.cluster.training.command, "train", "--run-dir", str(folder.path)),
        num_steps=config.train.num_steps,
        steps_file=str(folder.steps_path),
    )
    with _taken_along(backend, job_name(job.run_id)):
        name = submit_or_adopt(backend, job)
        threading.Thread(target=_tell_lines, args=(backend, name), daemon=True).start()
        report = backend.wait(name, timeout_s=_LONGEST_S, on_change=lambda seen: say(str(seen)))
    if report.state is JobState.FAILED:
        raise _failure(report, folder)


def submit_or_adopt(backend: TrainingBackend, job: TrainingJob) -> str:
    """The name of the run's job; one that failed is made anew."""
    name = job_name(job.run_id)
    try:
        found = backend.describe(name)
    except DataError:
        return backend.submit(job)
    if found.state is JobState.FAILED:
        say(f"{found}; it is made anew, and goes on from what it saved")
        backend.cancel(name)
        return backend.submit(job)
    say(f"going on with {found}")
    return name


def pod_fields(task: TaskFields, env: Mapping[str, str]) -> PodFields:
    """What the pods of the job get of the task, and of Kubeflow's MLflow plugin."""
    # A variable that is read off the pod itself would be another one in another pod.
    given = {one["name"]: dict(one) for one in task.env or () if "fieldRef" not in (one.get("valueFrom") or {})}
    injected = _MLFLOW if env.get(MLFLOW_RUN) else ()
    found = {name: {"name": name, "value": env[name]} for name in injected if env.get(name)}
    return PodFields(
        env=tuple((found | given).values()),
        volumes=tuple(map(dict, task.volumes or ())),
        mounts=tuple(map(dict, task.volume_mounts or ())),
        tolerations=tuple(map(dict, task.tolerations or ())),
        node_selector=dict(task.node_selector or {}),
        affinity=dict(task.affinity or {}),
        resources={kind: dict(amounts) for kind, amounts in (task.resources or {}).items() if amounts},
    )


def check_gpus(config: RunConfig, fields: PodFields) -> None:
    """Refuse a task whose GPUs are not those that veRL is told of.

    Raises:
        ConfigError: naming both.
    """
    asked, told_of = fields.num_gpus, config.verl.gpus_per_node
    if asked is not None and asked != told_of:
        raise ConfigError(
            f"the task asks for {asked} GPUs a node and verl.gpus_per_node is {told_of}; make them equal: add "
            f"verl.gpus_per_node={asked} to the overrides, or compile with --train-gpus {told_of}"
        )


@contextlib.contextmanager
def _taken_along(backend: TrainingBackend, name: str) -> Generator[None]:
    """Remove the job when this process is told to end."""

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        say(f"told to end: job {name} is removed, and another try goes on from its last checkpoint")
        backend.cancel(name)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell_lines(backend: TrainingBackend, name: str) -> None:
    with contextlib.suppress(VisionThinkError):  # the job's state is told all the same
        for line in backend.logs(name):
            say(f"  {line}")


def _failure(report: JobReport, folder: RunFolder) -> VisionThinkError:
    """Why a training failed: in its own words, where the volume brings them."""
    why = read_failure(folder.error_path("train"))
    if why is not None and why.exit_code == _REFUSED:
        return ConfigError(why.message)
    return ClusterError(f"{report}{'' if why is None else f': {why.message}'}", retryable=True)


def _check_seen(folder: RunFolder) -> None:
    if not folder.is_done("train"):
        raise ConfigError(
            f"the training succeeded, but {folder.stage_dir('train')} has no result in this pod: give the step and the "
            "job one volume for runs (visionthink pipeline compile --runs-claim CLAIM)"
        )
