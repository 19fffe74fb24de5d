"""The stage `evaluate`: four rows over the same held-out samples, then figures, page and examples.

Rule: only answers cost time, and they are kept shard by shard. Figures, page and examples are made of them anew each
time, so a stage that was killed ends in the same result.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from visionthink.engines import Engine
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.prompting import prompting_of
from visionthink.errors import DataError
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.asking import HELD_OUT, TEST, Asker, greedy, num_answered
from visionthink.evaluation.bootstrap import Bootstrap
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.outcome import Evaluation
from visionthink.evaluation.question import POLICIES, questions_of
from visionthink.evaluation.showing import examples_of, show
from visionthink.evaluation.timing import choose_samples, measure
from visionthink.model.bundled import base_folder, check_model
from visionthink.report.record import Example, Row
from visionthink.runs import Progress, StageResult, StageTask
from visionthink.runs.folder import RunFolder, read_json
from visionthink.samples import TestSet, samples_to_evaluate
from visionthink.storage import atomic_write_json

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
    folders = dict.fromkeys(_BASE_ROWS, base_folder(task.config.model.base)) | {Row.TRAINED: model_to_judge(task)}
    batch_size = task.config.model.batch_size
    return evaluate_with(lambda folder: TransformersEngine.load(folder, batch_size=batch_size), folders, task)


def evaluate_with(open_engine: Callable[[Path], Engine], folders: Mapping[Row, Path], task: StageTask) -> StageResult:
    """Judge the models in `folders`, each opened by `open_engine` and closed again."""
    config = task.config
    evaluation = _Work(task=task, tests=samples_to_evaluate(config, say=task.say), open_engine=open_engine).all_rows(
        folders
    )
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
    answers: dict[Row, list[Answer]] = field(default_factory=dict)
    held_out: dict[Row, list[Answer]] = field(default_factory=dict)
    latencies: dict[Row, Latency] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()

    def all_rows(self, folders: Mapping[Row, Path]) -> Evaluation:
        shards, size = self.task.dir / "answers", self.task.config.evaluate.shard_size
        sets = {TEST: len(self.tests.samples), HELD_OUT: len(self.tests.held_out)}
        done = sum(num_answered(shards, name, size=size, total=total) for name, total in sets.items())
        progress = self.task.progress(len(folders) * sum(sets.values()), unit="answers", done=done)
        for folder in dict.fromkeys(folders.values()):
            rows = [row for row, place in folders.items() if place == folder]
            self._rows_of(folder, rows, shards, progress)
        return Evaluation(
            answers=self.answers, held_out=self.held_out, latencies=self.latencies, examples=self.examples
        )

    def _rows_of(self, folder: Path, rows: list[Row], shards: Path, progress: Progress) -> None:
        """All rows that one model answers."""
        config = self.task.config
        engine, judge = self.open_engine(folder), self.task.open_judge()
        with asyncio.Runner() as runner:
            try:
                for row in rows:
                    asker = Asker(
                        row=row,
                        engine=engine,
                        judge=judge,
                        prompting=prompting_of(config),
                        config=config,
                        folder=shards,
                        progress=progress,
                        runner=runner,
                    )
                    self._row(asker)
            finally:
                runner.run(engine.aclose())
                runner.run(judge.aclose())

    def _row(self, asker: Asker) -> None:
        self.answers[asker.row] = asker.answers(TEST, self.tests.samples)
        self.held_out[asker.row] = asker.answers(HELD_OUT, self.tests.held_out)
        self.latencies[asker.row] = self._latency(asker)
        if asker.row is Row.TRAINED:
            self.examples = examples_of(asker, self.tests.samples, self.answers[asker.row])

    def _latency(self, asker: Asker) -> Latency:
        """Measured once; a later try reads it."""
        path = self.task.dir / "latency" / f"{asker.row.value}.json"
        if path.exists():
            return Latency.from_dict(read_json(path))
        config, tests = self.task.config, self.tests
        chosen = [tests.samples[index] for index in choose_samples(tests.samples, config.evaluate.num_latency_samples)]
        apart = [
            tests.held_out[index] for index in choose_samples(tests.held_out, 2 * len(config.data.held_out_families))
        ]
        latency = measure(
            asker.engine,
            questions_of([*chosen, *apart], config.data),
            policy=POLICIES[asker.row],
            prompting=asker.prompting,
            sampling=greedy(config),
            headline=sorted({sample.family for sample in chosen}),
            clock=self.task.clock,
            runner=asker.runner,
        )
        atomic_write_json(path, latency.to_dict())
        return latency
