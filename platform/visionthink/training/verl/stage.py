"""The stage `train` by veRL: from labelled samples and the base model to a trained one.

Rule: what was done is in the folder, as with the local trainer, and whoever goes on from there cannot tell which of the
two it was. Here the plan is made and its rows are written; `run.train` carries it out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionthink.datasets.parquet import read_samples
from visionthink.model.bundled import base_folder
from visionthink.runs import Progress, StageResult, StageTask
from visionthink.runs.step_log import StepLog, StepRecord, read_steps
from visionthink.storage import is_complete, open_store
from visionthink.storage.json_file import read_json
from visionthink.training.step_report import final_metrics, note
from visionthink.training.verl.memory import check_memory, shape_of
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.rows import store_pictures, training_order, write_rows
from visionthink.training.verl.run import train


def train_stage(task: StageTask) -> StageResult:
    """Train the base model on the samples that the stage `label` kept.

    Raises:
        UserError: there are no such samples, or none of one of the labels; the machines cannot hold it.
        BackendError: veRL, the store or a server failed; the same stage goes on from the last checkpoint.
    """
    task.folder.finished("label")
    plan = plan_of(task)
    if not is_complete(plan.model):
        shape: Any = read_json(plan.base_model / "config.json")
        check_memory(task.config, shape_of(shape))
        _write_rows(task, plan.train_rows)
        train(plan, task.config, on_step=_Steps(task), tracker=task.tracker, say=task.say)
    steps = task.folder.steps_path
    task.run.log_artifact(steps)
    return StageResult(
        metrics=final_metrics(read_steps(steps)),
        artifacts={"model": plan.model, "steps": steps},
        facts={"num_steps": task.config.train.num_steps, "penalty": task.config.reward.penalty},
    )


def plan_of(task: StageTask) -> VerlPlan:
    """The plan of a run's training; the stage tells the tracker itself."""
    verl = task.config.verl
    return VerlPlan(
        train_rows=task.dir / "rows.parquet",
        base_model=base_folder(task.config.model.base),
        output=task.dir,
        run_id=task.folder.run_id,
        forecast=task.folder.forecast_path,
        num_nodes=verl.num_nodes,
        gpus_per_node=verl.gpus_per_node,
        checkpoint_store=verl.checkpoint_store,
        num_checkpoints=verl.num_checkpoints,
        overrides=verl.overrides(),
    )


def _write_rows(task: StageTask, path: Path) -> None:
    if path.exists():  # written whole or not at all, and the same on every try
        return
    config = task.config
    samples = list(read_samples(task.folder.dataset_path))
    places = store_pictures(samples, open_store(str(task.dir / "pictures")))
    write_rows(path, training_order(samples, config.train, seed=config.seed), places, policy=config.train.policy)


class _Steps:
    """Keeps and tells each step; the first one says where an earlier try ended."""

    def __init__(self, task: StageTask) -> None:
        self._task = task
        self._log: StepLog | None = None
        self._progress: Progress | None = None

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        if self._log is None or self._progress is None:
            self._log = StepLog(self._task.folder.steps_path, last_step=step - 1)
            self._progress = self._task.progress(self._task.config.train.num_steps, unit="steps", done=step - 1)
        self._log.append(StepRecord(step=step, metrics=metrics))
        self._task.run.log_metrics(metrics, step=step)
        self._progress.advance(note=note(metrics))
