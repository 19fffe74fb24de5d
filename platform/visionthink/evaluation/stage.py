"""The stage `evaluate`: contenders answer the same held-out questions, then figures, page and examples.

Rule: only answers cost time, and they are kept shard by shard. Figures, page and examples are made of them anew each
time, so a stage that was killed ends in the same result. What would spoil the result is refused before the first
question.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from visionthink.core.gate import ContenderRole
from visionthink.engines import Engine
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.prompting import prompting_of
from visionthink.errors import UserError
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.asking import HELD_OUT, TEST, Asker, num_answered
from visionthink.evaluation.benchmarks import Benchmark, benchmark_of
from visionthink.evaluation.contender import Contender, check_contenders, usual_contenders
from visionthink.evaluation.incumbent import Incumbent, find_incumbent, forget_incumbent
from visionthink.evaluation.interval import Bootstrap
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.outcome import Measured, evaluation_of
from visionthink.evaluation.question import questions_of
from visionthink.evaluation.showing import examples_of, show
from visionthink.evaluation.timing import choose_samples, measure
from visionthink.metrics import check_names, escaped
from visionthink.model.bundled import base_folder
from visionthink.model.card import with_card
from visionthink.report.record import Example
from visionthink.runs import Progress, StageResult, StageTask
from visionthink.runs.folder import read_json
from visionthink.runs.judged_model import model_to_judge
from visionthink.samples import TestSet
from visionthink.storage import atomic_write_json

CHAMPION: Final = "champion"
"""Name of the model in use among the contenders, whatever its alias is called."""


def evaluate_stage(task: StageTask) -> StageResult:
    """Judge the trained model against the base model and the model in use on held-out samples.

    Raises:
        UserError: a model or the data set cannot be used.
    """
    batch_size = task.config.model.batch_size
    return evaluate_with(
        lambda folder: TransformersEngine.load(folder, batch_size=batch_size),
        base=base_folder(task.config.model.base),
        candidate=model_to_judge(task),
        task=task,
    )


def evaluate_with(
    open_engine: Callable[[Path], Engine], *, base: Path, candidate: Path, task: StageTask
) -> StageResult:
    """Judge the model in `candidate`; each model is opened by `open_engine` and closed again."""
    config = task.config
    benchmark = benchmark_of(config.data)
    contenders = usual_contenders(
        base, candidate, prompting=prompting_of(config), max_reply_tokens=config.episode.max_reply_tokens
    )
    check_contenders(contenders)
    work = _Work(task=task, benchmark=benchmark, tests=benchmark.source(config), open_engine=open_engine)
    check_names({sample.family for sample in (*work.tests.samples, *work.tests.held_out)}, of="family")
    incumbent, champion = find_incumbent(task, candidate)
    if champion is not None:
        incumbent, contenders = _with_champion(contenders, champion, incumbent, task)
    measured, examples, unusable = work.all_answers(contenders)
    if CHAMPION in unusable:
        incumbent = incumbent.unmeasured(unusable[CHAMPION])
    bootstrap = Bootstrap(num_bootstraps=config.evaluate.num_bootstraps, seed=config.seed)
    evaluation = evaluation_of(measured, benchmark=benchmark, bootstrap=bootstrap, incumbent=incumbent)
    result = evaluation.to_result()
    task.run.log_metrics(result.metrics)
    show(evaluation, examples, incumbent, task)
    forget_incumbent(task)
    return replace(
        result,
        artifacts={"report": task.folder.report_path, "answers": task.dir / "answers"},
        html=task.folder.report_path,
    )


def _with_champion(
    contenders: Sequence[Contender], model: Path, incumbent: Incumbent, task: StageTask
) -> tuple[Incumbent, tuple[Contender, ...]]:
    """The model in use as one more contender, asked as it was trained."""
    try:
        config = with_card(model, task.config)
        champion = Contender(
            name=CHAMPION,
            label="model in use",
            role=ContenderRole.INCUMBENT,
            model=model,
            prompting=prompting_of(config),
            policy="auto",
            max_reply_tokens=config.episode.max_reply_tokens,
        )
    except UserError as error:
        return incumbent.unmeasured(str(error)), tuple(contenders)
    return incumbent, (*contenders, champion)


class _Answered(NamedTuple):
    """What a try came to."""

    measured: list[Measured]
    examples: tuple[Example, ...]
    """Conversations of the candidate."""
    unusable: dict[str, str]
    """Why the model of a contender cannot be used; only an incumbent may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One try of the stage."""

    task: StageTask
    benchmark: Benchmark
    tests: TestSet
    open_engine: Callable[[Path], Engine]

    def all_answers(self, contenders: Sequence[Contender]) -> _Answered:
        """What every contender answered.

        Raises:
            UserError: a model cannot be used.
        """
        size, shards = self.task.config.evaluate.shard_size, self.task.dir / "answers"
        sets = {TEST: len(self.tests.samples), HELD_OUT: len(self.tests.held_out)}
        done = sum(num_answered(shards, contenders, name, size=size, total=total) for name, total in sets.items())
        progress = self.task.progress(len(contenders) * sum(sets.values()), unit="answers", done=done)
        found, examples, unusable = dict[str, Measured](), tuple[Example, ...](), dict[str, str]()
        for model in dict.fromkeys(contender.model for contender in contenders):
            own = [contender for contender in contenders if contender.model == model]
            try:
                engine = self.open_engine(model)
            except UserError as error:
                if any(contender.role is not ContenderRole.INCUMBENT for contender in own):
                    raise
                unusable |= {contender.name: str(error) for contender in own}
                continue
            measured, shown = self._of_model(engine, own, shards, progress)
            found |= {one.contender.name: one for one in measured}
            examples += shown
        return _Answered([found[one.name] for one in contenders if one.name in found], examples, unusable)

    def _of_model(
        self, engine: Engine, contenders: Sequence[Contender], shards: Path, progress: Progress
    ) -> tuple[list[Measured], tuple[Example, ...]]:
        """What all contenders answered that have one model."""
        judge = self.task.open_judge()
        measured: list[Measured] = []
        examples: tuple[Example, ...] = ()
        with asyncio.Runner() as runner:
            try:
                for contender in contenders:
                    asker = Asker(
                        contender=contender,
                        benchmark=self.benchmark,
                        engine=engine,
                        judge=judge,
                        config=self.task.config,
                        folder=shards,
                        progress=progress,
                        runner=runner,
                    )
                    measured.append(self._measured(asker))
                    if contender.role is ContenderRole.CANDIDATE:
                        examples = examples_of(asker, self.tests.samples, measured[-1].answers)
            finally:
                runner.run(engine.aclose())
                runner.run(judge.aclose())
        return measured, examples

    def _measured(self, asker: Asker) -> Measured:
        answers: list[Answer] = asker.answers(TEST, self.tests.samples)
        held_out = asker.answers(HELD_OUT, self.tests.held_out)
        return Measured(contender=asker.contender, answers=answers, held_out=held_out, latency=self._latency(asker))

    def _latency(self, asker: Asker) -> Latency:
        """Measured once; a later try reads it."""
        path = self.task.dir / "latency" / f"{escaped(asker.contender.name)}.json"
        if path.exists():
            return Latency.from_dict(read_json(path))
        samples, held_out, count = (
            self.tests.samples,
            self.tests.held_out,
            self.task.config.evaluate.num_latency_samples,
        )
        # Two of each family apart tell enough about it, and the headline keeps three quarters at least.
        num_apart = min(2 * len({sample.family for sample in held_out}), count // 4)
        chosen = [samples[index] for index in choose_samples(samples, count - num_apart)]
        apart = [held_out[index] for index in choose_samples(held_out, num_apart)]
        latency = measure(
            asker.engine,
            questions_of(asker.benchmark, [*chosen, *apart], self.task.config.data),
            contender=asker.contender,
            headline=sorted({sample.family for sample in chosen}),
            clock=self.task.clock,
            runner=asker.runner,
        )
        atomic_write_json(path, latency.to_dict())
        return latency
