"""The stage `label`: shard after shard of samples, then the data set to train on.

Rule: a shard is a file that appears when all of its samples are labelled. A stage that is started again labels the
shards that are missing, and makes the same data set of the same shards.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from visionthink.config import RunConfig
from visionthink.core.json_value import Json
from visionthink.core.sample import Sample
from visionthink.datasets.parquet import write_samples
from visionthink.engines import Engine
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.prompting import prompting_of
from visionthink.errors import DataError
from visionthink.judges import Judge
from visionthink.labeling.figures import label_counts, label_metrics
from visionthink.labeling.record import Labelled
from visionthink.labeling.rollout import LabelSetting, label_samples
from visionthink.metrics import LABEL_ACCURACY_FULL, LABEL_ACCURACY_QUARTER, LABEL_AGREEMENT_RATIO
from visionthink.model.bundled import base_folder
from visionthink.runs import StageResult, StageTask
from visionthink.runs.folder import read_json
from visionthink.samples import decoded, in_shards, num_in_shards, samples_to_label
from visionthink.storage import atomic_write, atomic_write_json


def label_stage(task: StageTask) -> StageResult:
    """Label with the base model of the settings.

    Raises:
        UserError: the data set or the model cannot be used, or no sample got a label.
    """
    config = task.config
    engine = TransformersEngine.load(base_folder(config.model.base), batch_size=config.model.batch_size)
    return label_with(engine, task)


def label_with(engine: Engine, task: StageTask) -> StageResult:
    """Label with `engine`, which is closed at the end."""
    judge = task.open_judge()
    with asyncio.Runner() as runner:
        try:
            records = _label_all(engine, judge, task, runner)
        finally:
            runner.run(engine.aclose())
            runner.run(judge.aclose())
    figures = label_metrics(records, task.config.label.rule())
    labels = task.dir / "labels.jsonl"
    atomic_write(labels, "".join(json.dumps(record.to_dict()) + "\n" for record in records).encode())
    _check_kept(records, figures)
    write_samples(task.folder.dataset_path, _kept(records, task.config), rule=task.config.view.rule())
    task.run.log_metrics(figures)
    task.run.log_artifact(labels)
    task.run.log_artifact(task.folder.dataset_path)
    return StageResult(
        metrics=figures,
        artifacts={"labels": labels, "dataset": task.folder.dataset_path},
        facts={
            "label_agreement": figures.get(LABEL_AGREEMENT_RATIO.key()),
            "counts": dict(label_counts(records)),
        },
    )


def _label_all(engine: Engine, judge: Judge, task: StageTask, runner: asyncio.Runner) -> list[Labelled]:
    config = task.config
    setting = LabelSetting(
        prompting=prompting_of(config),
        rule=config.label.rule(),
        max_reply_tokens=config.episode.max_reply_tokens,
        seed=config.seed,
    )
    folder = task.dir / "shards"
    total, size = config.label.num_samples, config.label.shard_size
    done = num_in_shards(folder, "", size=size, total=total)
    progress = task.progress(total, unit="samples", done=done)
    records: list[Labelled] = []
    for number, shard in enumerate(in_shards(samples_to_label(config, say=task.say), size)):
        path = folder / f"{number:05d}.json"
        found = _read_shard(path, shard)
        if found is None:
            pictures = [decoded(sample, config.data) for sample in shard]
            found = runner.run(label_samples(shard, pictures, engine=engine, judge=judge, setting=setting))
            atomic_write_json(path, [record.to_dict() for record in found])
            progress.advance(len(shard))
        records += found
    return records


def _read_shard(path: Path, samples: Sequence[Sample]) -> list[Labelled] | None:
    """The labels of these samples; None when they are still to be made."""
    if not path.exists():
        return None
    value: Json = read_json(path)
    records = [Labelled.from_dict(entry) for entry in value] if isinstance(value, list) else []
    if [record.id for record in records] != [sample.id for sample in samples]:
        raise DataError(f"{path} holds labels of other samples: the data set was changed meanwhile; start a fresh run")
    return records


def _check_kept(records: Sequence[Labelled], figures: dict[str, float]) -> None:
    if any(record.needed is not None for record in records):
        return
    failed = next((record.error for record in records if record.error), None)
    low, high = (figures.get(metric.key(), 0.0) for metric in (LABEL_ACCURACY_QUARTER, LABEL_ACCURACY_FULL))
    raise DataError(
        f"none of {len(records)} samples got a label, so there is nothing to train on. Rollouts were right on "
        f"{low:.0%} of quarter views and {high:.0%} of full views{f'; one failed with: {failed}' if failed else ''}. "
        "Take a base model that can read (model.base), more samples (label.num_samples) or a smaller label.min_gap"
    )


def _kept(records: Sequence[Labelled], config: RunConfig) -> Iterator[Sample]:
    """The samples with a label, which takes the place of the ground truth."""
    labels = {record.id: record.needed for record in records}
    for sample in samples_to_label(config, say=None):  # what was left out was told before
        needed = labels.get(sample.id)
        if needed is not None:
            yield replace(sample, needs_high_res=needed)
