"""The stage `train`: from labelled samples and the base model to a trained one.

Rule: what was done is in the folder. Checkpoints say which steps, `model/` says that all of them; a stage that is
started again does what is missing, and its steps are in `steps.jsonl` and in the tracker once each.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from visionthink.config import ModelConfig
from visionthink.datasets.parquet import read_samples
from visionthink.engines.local_pool import LocalPool
from visionthink.episodes.prompting import prompting_of
from visionthink.model.bundled import base_folder
from visionthink.model.folder import LoadedModel, load_model, save_model
from visionthink.model.forecast import forecast_files
from visionthink.runs import Progress, StageResult, StageTask
from visionthink.runs.step_log import StepLog, StepRecord, read_steps
from visionthink.samples import decoded
from visionthink.storage import is_complete
from visionthink.training.local.checkpoint import checkpoint_step
from visionthink.training.local.rollout import Prompt
from visionthink.training.local.trainer import LocalTrainer, Setting
from visionthink.training.step_report import final_metrics, note


def train_stage(task: StageTask) -> StageResult:
    """Train the base model on the samples that the stage `label` kept.

    Raises:
        UserError: there are no such samples, or none of one of the labels.
    """
    task.folder.finished("label")
    model, steps = task.folder.trained_model, task.folder.steps_path
    checkpoints = task.dir / "checkpoints"
    if not is_complete(model):
        _train(task, checkpoints)
    shutil.rmtree(checkpoints, ignore_errors=True)
    task.run.log_artifact(steps)
    return StageResult(
        metrics=final_metrics(read_steps(steps)),
        artifacts={"model": model, "steps": steps},
        facts={"num_steps": task.config.train.num_steps, "penalty": task.config.reward.penalty},
    )


def _train(task: StageTask, checkpoints: Path) -> None:
    config = task.config
    prompts = read_prompts(task.folder.dataset_path)
    base = base_folder(config.model.base)
    loaded = load_model(base)
    trainer = LocalTrainer(
        loaded.model,
        loaded.processor,
        judge=task.open_judge(),
        prompting=prompting_of(config),
        decode=lambda sample: decoded(sample, config.data),
        setting=Setting(
            train=config.train,
            reward=config.reward,
            seed=config.seed,
            batch_size=config.model.batch_size,
            max_reply_tokens=config.episode.max_reply_tokens,
        ),
        checkpoint_dir=checkpoints,
        pool=_pool(base, loaded, config.model),
    )
    first = checkpoint_step(checkpoints)
    log = StepLog(task.folder.steps_path, last_step=first)
    progress: Progress = task.progress(config.train.num_steps, unit="steps", done=first)

    def on_step(step: int, metrics: Mapping[str, float]) -> None:
        log.append(StepRecord(step=step, metrics=metrics))
        task.run.log_metrics(metrics, step=step)
        progress.advance(note=note(metrics))

    trainer.run(prompts, on_step)
    save_model(loaded, task.folder.trained_model, config, extra=forecast_files(task.folder.forecast_path))


def _pool(base: Path, loaded: LoadedModel, settings: ModelConfig) -> LocalPool | None:
    """Processes that make the rollouts, if there are to be several; their copies must hold what is trained."""
    if settings.processes == 1 or loaded.saved_as is not torch.float32:
        return None
    return LocalPool(base, num_processes=settings.processes, batch_size=settings.batch_size)


def read_prompts(path: Path) -> list[Prompt]:
    """The samples of a data set to train on. Pictures stay encoded: decoded, 20,000 photographs are 92 GiB.

    Raises:
        DataError: there is no such data set.
    """
    return [Prompt(sample=sample, needed=sample.needs_high_res) for sample in read_samples(path)]
