"""The stage `label`: every sample's rollouts, then the data set to train on.

Rule: labels are kept shard by shard, and a stage that is started again asks only for those that are missing. The data
set is made of the same labels in the same way, however many tries they took.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from visionthink.config import RunConfig
from visionthink.core.closer_look import REGIONS
from visionthink.core.sample import Sample
from visionthink.datasets.parquet import write_samples
from visionthink.engines import Engine
from visionthink.episodes.asking import Series, ask_open
from visionthink.episodes.opening import open_runner
from visionthink.episodes.prompting import prompting_of
from visionthink.episodes.runner import EpisodeRunner
from visionthink.episodes.shard import Record, ShardBook
from visionthink.errors import DataError
from visionthink.labeling.figures import forecast_metrics, label_counts, label_metrics
from visionthink.labeling.first_look import Case, Learned, Unlearnable, learn_forecast
from visionthink.labeling.record import Labelled
from visionthink.labeling.region import RegionLabelled, RegionSetting, region_metrics
from visionthink.labeling.rollout import LabelSetting
from visionthink.metrics import LABEL_ACCURACY_FULL, LABEL_ACCURACY_QUARTER, LABEL_AGREEMENT_RATIO
from visionthink.model.bundled import base_folder
from visionthink.runs import StageResult, StageTask
from visionthink.samples import samples_to_label
from visionthink.storage import atomic_write, atomic_write_json


def label_stage(task: StageTask) -> StageResult:
    """Label with the base model of the settings.

    Raises:
        UserError: the data set or the model cannot be used, or no sample got a label.
        EngineError, JudgeError: there is an outage; the same stage goes on where this one stopped.
    """
    model = task.config.model
    return label_with(task.open_engine(model.engine, base_folder(model.base)), task)


def label_with(engine: Engine, task: StageTask) -> StageResult:
    """Label with `engine`, which is closed at the end."""
    with asyncio.Runner() as runner:
        records, regions = runner.run(_label_all(engine, task))
    _tell_lost(records, task)
    figures = label_metrics(records, task.config.label.rule()) | (region_metrics(regions) if regions else {})
    labels = task.dir / "labels.jsonl"
    _write_lines(labels, records)
    _check_kept(records, figures)
    cases: list[Case] = []
    kept = _kept(records, {record.id: record for record in regions}, task.config, cases)
    write_samples(task.folder.dataset_path, kept, rule=task.config.view.rule())
    learned = _forecast(cases, task)
    figures |= forecast_metrics(learned)
    artifacts = {"labels": labels, "dataset": task.folder.dataset_path}
    if regions:
        artifacts["regions"] = task.dir / "regions.jsonl"
        _write_lines(artifacts["regions"], regions)
    if learned is not None:
        artifacts["forecast"] = task.folder.forecast_path
    task.run.log_metrics(figures)
    for path in artifacts.values():
        task.run.log_artifact(path)
    return StageResult(
        metrics=figures,
        artifacts=artifacts,
        facts={
            "label_agreement": figures.get(LABEL_AGREEMENT_RATIO.key()),
            "counts": dict(label_counts(records)),
        },
    )


def _write_lines(path: Path, records: Sequence[Record]) -> None:
    atomic_write(path, "".join(json.dumps(record.to_dict()) + "\n" for record in records).encode())


async def _label_all(engine: Engine, task: StageTask) -> tuple[list[Labelled], list[RegionLabelled]]:
    config = task.config
    setting = LabelSetting(rule=config.label.rule(), max_reply_tokens=config.episode.max_reply_tokens, seed=config.seed)
    book = ShardBook(task.dir / "shards", size=config.label.shard_size, read=Labelled.from_dict, what="labels")
    total = config.label.num_samples
    progress = task.progress(total, unit="samples", done=book.num_found)
    async with open_runner(engine, task.open_judge(), config, has_succeeded=book.num_found > 0) as runner:
        await ask_open(
            runner,
            [
                Series(
                    samples=samples_to_label(config, say=task.say), asks=setting.asks, record=setting.record, book=book
                )
            ],
            total=total,
            max_lost_ratio=config.model.max_lost_ratio,
            on_record=partial(progress.advance, 1),
        )
        records = book.finished()
        return records, await _label_regions(runner, records, task) if config.label.num_region_rollouts else []


async def _label_regions(runner: EpisodeRunner, records: Sequence[Labelled], task: StageTask) -> list[RegionLabelled]:
    """Which region suffices, of the samples that were labelled as needing the full view."""
    config = task.config
    needed = {record.id for record in records if record.needed}
    book = ShardBook(
        task.dir / "regions", size=config.label.shard_size, read=RegionLabelled.from_dict, what="records of regions"
    )
    setting = _region_setting(config)
    progress = task.progress(len(needed), unit="regions", done=book.num_found)
    samples = [sample for sample in samples_to_label(config, say=None) if sample.id in needed]
    await ask_open(
        runner,
        [Series(samples=samples, asks=setting.asks, record=setting.record, book=book)],
        total=len(needed),
        max_lost_ratio=config.model.max_lost_ratio,
        on_record=partial(progress.advance, 1),
    )
    return book.finished()


def _region_setting(config: RunConfig) -> RegionSetting:
    return RegionSetting(
        num_rollouts=config.label.num_region_rollouts,
        max_reply_tokens=config.episode.max_reply_tokens,
        seed=config.seed,
        rule=config.view.rule(),
        regions=prompting_of(config).regions or REGIONS,
    )


def _tell_lost(records: Sequence[Labelled], task: StageTask) -> None:
    lost = [record for record in records if record.error is not None]
    if lost:
        first = f"the first ({lost[0].id}): {lost[0].error}"
        task.say(f"label: {len(lost)} of {len(records)} samples got no label, {first}")


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


def _forecast(cases: Sequence[Case], task: StageTask) -> Learned | None:
    """What the labels teach about the first look, kept in its file; None, and no file, where they teach nothing."""
    learned = learn_forecast(cases)
    if isinstance(learned, Unlearnable):
        task.say(f"label: no forecast for the first-look shortcut: {learned.reason}")
        task.folder.forecast_path.unlink(missing_ok=True)
        return None
    atomic_write_json(task.folder.forecast_path, learned.to_dict())
    return learned


def _kept(
    records: Sequence[Labelled], regions: Mapping[str, RegionLabelled], config: RunConfig, cases: list[Case]
) -> Iterator[Sample]:
    """The samples with a label, which takes the place of the ground truth; each is noted in `cases` as it passes."""
    by_id = {record.id: record for record in records}
    setting = _region_setting(config)
    for sample in samples_to_label(config, say=None):  # what was left out was told before
        record = by_id.get(sample.id)
        if record is not None and record.needed is not None:
            needed = record.needed
            if record.size is not None:
                cases.append(Case(question=sample.question, size=record.size, family=sample.family, needed=needed))
            found = regions.get(sample.id)
            name = None if found is None else found.region
            box = None if name is None or record.size is None else setting.box(name, record.size)
            yield replace(sample, needs_high_res=needed, region=box)
