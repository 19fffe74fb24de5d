"""The stage `evaluate`: four rows over the same held-out samples, then figures, page and examples.

Rule: only answers cost time, and they are kept shard by shard. Figures, page and examples are made of them anew each
time, so a stage that was killed ends in the same result.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from visionthink.engines import Engine
from visionthink.episodes.asking import Series, ask_open
from visionthink.episodes.opening import open_runner
from visionthink.episodes.runner import EpisodeRunner
from visionthink.errors import DataError
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.asking import HELD_OUT, TEST, ask_of, series_of
from visionthink.evaluation.bootstrap import Bootstrap
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.outcome import Evaluation
from visionthink.evaluation.showing import examples_of, show
from visionthink.evaluation.timing import choose_samples, measure
from visionthink.model.bundled import base_folder, check_model
from visionthink.report.record import Example, Row
from visionthink.runs import StageResult, StageTask
from visionthink.runs.folder import RunFolder
from visionthink.samples import TestSet, samples_to_evaluate
from visionthink.storage import atomic_write_json
from visionthink.storage.json_file import read_json

_BASE_ROWS = (Row.ALWAYS_LOW, Row.ALWAYS_HIGH, Row.BASE)


def model_to_judge(task: StageTask) -> Path:
    """The model that is evaluated, registered and served.

    Raises:
        UserError: there is none.
    """
    if task.config.evaluate.model is not None:
        folder = Path(task.config.evaluate.model)
        check_model(folder)
        return folder
    return trained_model(task.folder)


def trained_model(folder: RunFolder) -> Path:
    """The model that a run trained.

    Raises:
        DataError: it has not trained one.
    """
    if not (folder.trained_model / "config.json").is_file():
        raise DataError(
            f"run {folder.path} has no trained model; run `visionthink train` first, or name one with --model FOLDER"
        )
    return folder.trained_model


def evaluate_stage(task: StageTask) -> StageResult:
    """Judge the trained model against the base model on held-out samples.

    Raises:
        UserError: a model or the data set cannot be used.
    """
    base, judged = base_folder(task.config.model.base), model_to_judge(task)
    folders = dict.fromkeys(_BASE_ROWS, base) | {Row.TRAINED: judged}
    engines = {judged: task.config.evaluate.engine, base: task.config.model.engine}
    return evaluate_with(lambda folder: task.open_engine(engines[folder], folder), folders, task)


def evaluate_with(open_engine: Callable[[Path], Engine], folders: Mapping[Row, Path], task: StageTask) -> StageResult:
    """Judge the models in `folders`, each opened by `open_engine` and closed again."""
    config = task.config
    work = _Work(task=task, tests=samples_to_evaluate(config, say=task.say), open_engine=open_engine)
    with asyncio.Runner() as runner:
        evaluation = runner.run(work.all_rows(folders))
    bootstrap = Bootstrap(num_bootstraps=config.evaluate.num_bootstraps, seed=config.seed)
    result = evaluation.to_result(bootstrap)
    task.run.log_metrics(result.metrics)
    show(evaluation, bootstrap, task)
    return replace(
        result,
        artifacts={"report": task.folder.report_path, "answers": task.dir / "answers"},
        html=task.folder.report_path,
    )


@dataclass(slots=True, kw_only=True)
class _Work:
    """One try of the stage."""

    task: StageTask
    tests: TestSet
    open_engine: Callable[[Path], Engine]
    latencies: dict[Row, Latency] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()

    async def all_rows(self, folders: Mapping[Row, Path]) -> Evaluation:
        sets = {TEST: self.tests.samples, HELD_OUT: self.tests.held_out}
        series = {
            (row, name): series_of(row, name, samples, folder=self.task.dir / "answers", config=self.task.config)
            for row in folders
            for name, samples in sets.items()
        }
        total = len(folders) * sum(map(len, sets.values()))
        done = sum(one.book.num_found for one in series.values())
        progress = self.task.progress(total, unit="answers", done=done)
        for folder in dict.fromkeys(folders.values()):
            own = {key: one for key, one in series.items() if folders[key[0]] == folder}
            await self._rows_of(folder, own, partial(progress.advance, 1))
        return Evaluation(
            answers={row: series[row, TEST].book.finished() for row in folders},
            held_out={row: series[row, HELD_OUT].book.finished() for row in folders},
            latencies=self.latencies,
            examples=self.examples,
        )

    async def _rows_of(
        self, folder: Path, series: Mapping[tuple[Row, str], Series[Answer]], on_record: Callable[[], None]
    ) -> None:
        """All rows that one model answers."""
        config = self.task.config
        engine, judge = self.open_engine(folder), self.task.open_judge()
        has_succeeded = any(one.book.num_found for one in series.values())
        async with open_runner(engine, judge, config, has_succeeded=has_succeeded) as runner:
            await ask_open(
                runner,
                series.values(),
                total=sum(len(self.tests.samples if name == TEST else self.tests.held_out) for _, name in series),
                max_lost_ratio=config.model.max_lost_ratio,
                on_record=on_record,
            )
            for row in dict.fromkeys(row for row, _ in series):
                self.latencies[row] = await self._latency(runner, row)
            if (Row.TRAINED, TEST) in series:
                answers = series[Row.TRAINED, TEST].book.finished()
                ask = ask_of(Row.TRAINED, config)
                self.examples = await examples_of(runner, self.tests.samples, answers, ask, config)

    async def _latency(self, runner: EpisodeRunner, row: Row) -> Latency:
        """Measured once; a later try reads it."""
        path = self.task.dir / "latency" / f"{row.value}.json"
        if path.exists():
            return Latency.from_dict(read_json(path))
        config, tests = self.task.config, self.tests
        chosen = [tests.samples[index] for index in choose_samples(tests.samples, config.evaluate.num_latency_samples)]
        apart = [
            tests.held_out[index] for index in choose_samples(tests.held_out, 2 * len(config.data.held_out_families))
        ]
        latency = await measure(
            runner,
            [*chosen, *apart],
            ask_of(row, config),
            headline=sorted({sample.family for sample in chosen}),
            clock=self.task.clock,
        )
        atomic_write_json(path, latency.to_dict())
        return latency
