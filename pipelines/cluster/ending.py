"""The step `finish`: what still runs of a run is ended, and how the run went is told. It runs however the rest ended.

Rule: only what bears this run's name is touched: its job, and a rollout of its own model that has not come to an end.
One part that cannot be ended does not keep the other from it; then the step fails, and a retry tries again.
"""

import html
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from visionthink.cluster.training import TrainingBackend, job_name
from visionthink.config import RunConfig
from visionthink.core.rollout import Phase
from visionthink.errors import BackendError, ClusterError, DataError
from visionthink.pipelines.artifact import Artifact
from visionthink.pipelines.cluster.fields import Fields, resolve
from visionthink.pipelines.cluster.place import platform_file, say, told
from visionthink.rollout.opening import open_cluster, open_registry, open_rollout
from visionthink.runs import STAGES, RunFolder
from visionthink.runs.failure import read_failure

_ABORTED: Final = "its pipeline run ended"


class FinalStatus(Protocol):
    """What is used of Kubeflow's `dsl.PipelineTaskFinalStatus`."""

    state: str
    error_message: str | None


def finish_step(preset: str, overrides: str, status: FinalStatus, report: Artifact) -> None:
    """End what runs, and write the report.

    Raises:
        SystemExit: something could not be ended.
    """
    with told("finish") as folder:
        config = resolve(Fields(preset=preset, overrides=overrides), platform_file(os.environ), os.environ)
        lines, failed = end_all([lambda: end_job(_backend(config), folder.run_id), lambda: end_rollout(config, folder)])
        _write(report, account(folder, status, lines))
        for line in lines:
            say(line)
        if failed:
            raise ClusterError("; ".join(failed), retryable=True)


def end_all(parts: Sequence[Callable[[], str]]) -> tuple[list[str], list[str]]:
    """What each part did, and what went wrong; each is tried."""
    lines: list[str] = []
    failed: list[str] = []
    for part in parts:
        try:
            lines.append(part())
        except BackendError as error:
            (failed if error.retryable else lines).append(str(error))
    return [*lines, *failed], failed


def end_job(backend: TrainingBackend, run_id: str) -> str:
    """Remove the run's job; what it was."""
    name = job_name(run_id)
    try:
        found = backend.describe(name)
    except DataError:
        return "no training is left"
    backend.cancel(name)
    return f"removed: {found}"


def end_rollout(config: RunConfig, folder: RunFolder) -> str:
    """Give the version in use everything back where a rollout of this run's model has not ended; what was done."""
    cluster = open_cluster(config)
    record = cluster.look().record
    # A model is published under the run's name: see registration.
    if record is None or record.is_done or not record.version.uri.rstrip("/").endswith(f"/{folder.run_id}"):
        return "no rollout of this run is under way"
    if record.state.phase is Phase.PROMOTED:
        return f"{record.version.label} is in use; `visionthink rollout start` ends what its rollout owes"
    registry = open_registry(config, record.version.number, env=os.environ, runs_dir=folder.runs_dir)
    driver = open_rollout(config, cluster, registry, folder=folder.path / "rollout", env=os.environ, say=say)
    ended = driver.abort(_ABORTED)
    return f"aborted: the rollout of {ended.version.label}; {ended.incumbent.label} is in use"


def _backend(config: RunConfig) -> TrainingBackend:
    from visionthink.cluster.training.pytorch_job_client import PyTorchJobBackend

    return PyTorchJobBackend.connect(config)


def account(folder: RunFolder, status: FinalStatus, lines: Sequence[str]) -> list[str]:
    """How the run went, as lines for people."""
    found = [f"run {folder.run_id}: {status.state}"]
    if status.error_message:
        found.append(status.error_message)
    for stage in STAGES:
        if (why := read_failure(folder.error_path(stage))) is not None:
            found.append(f"stage {stage} failed: {why.message}")
    return [*found, *lines]


def _write(report: Artifact, lines: Sequence[str]) -> None:
    path = Path(report.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    title, *rest = (html.escape(line) for line in lines)
    items = "".join(f"<li>{line}</li>\n" for line in rest)
    path.write_text(f"<h1>{title}</h1>\n<ul>\n{items}</ul>\n", encoding="utf-8")
