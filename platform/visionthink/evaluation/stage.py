"""The stage `evaluate`: contenders answer the same held-out questions, then figures, page and examples.

Rule: only answers cost time, and they are kept shard by shard. Figures, page and examples are made of them anew each
time, so a stage that was killed ends in the same result. What would spoil the result is refused before the first
question.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from visionthink.core.gate import ContenderRole
from visionthink.core.sample import Sample
from visionthink.engines import Engine, pruned_engine
from visionthink.engines.reply_cache import CachedEngine
from visionthink.episodes.asking import Series, ask_open
from visionthink.episodes.opening import open_runner
from visionthink.episodes.prompting import prompting_of
from visionthink.episodes.runner import EpisodeRunner
from visionthink.errors import UserError
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.asking import HELD_OUT, TEST, ask_of, series_of
from visionthink.evaluation.benchmarks import Benchmark, BenchmarkJudge, benchmark_of
from visionthink.evaluation.contender import (
    Contender,
    check_contenders,
    check_depths,
    reply_identity,
    usual_contenders,
)
from visionthink.evaluation.incumbent import Incumbent, find_incumbent, forget_incumbent
from visionthink.evaluation.interval import Bootstrap
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.outcome import Measured, evaluation_of
from visionthink.evaluation.showing import examples_of, show
from visionthink.evaluation.timing import choose_samples, measure
from visionthink.metrics import check_names, escaped
from visionthink.model.bundled import base_folder
from visionthink.model.card import with_card
from visionthink.model.forecast import read_forecast
from visionthink.report.record import Example
from visionthink.runs import StageResult, StageTask
from visionthink.runs.judged_model import model_to_judge
from visionthink.samples import TestSet
from visionthink.storage import atomic_write_json
from visionthink.storage.json_file import read_json

CHAMPION: Final = "champion"
"""Name of the model in use among the contenders, whatever its alias is called."""


def evaluate_stage(task: StageTask) -> StageResult:
    """Judge the trained model against the base model and the model in use on held-out samples.

    Raises:
        UserError: a model or the data set cannot be used.
    """
    return evaluate_with(
        lambda contender: pruned_engine(task.open_engine(contender.engine, contender.model), contender.pruning),
        base=base_folder(task.config.model.base),
        candidate=model_to_judge(task),
        task=task,
    )


def evaluate_with(
    open_engine: Callable[[Contender], Engine], *, base: Path, candidate: Path, task: StageTask
) -> StageResult:
    """Judge the model in `candidate`; each model is opened by `open_engine` and closed again."""
    config = task.config
    benchmark = benchmark_of(config)
    contenders = usual_contenders(base, candidate, config, has_forecast=read_forecast(candidate) is not None)
    check_contenders(contenders)
    check_depths(contenders)
    work = _Work(task=task, benchmark=benchmark, tests=benchmark.source(config, task.say), open_engine=open_engine)
    check_names({sample.family for sample in (*work.tests.samples, *work.tests.held_out)}, of="family")
    incumbent, champion = find_incumbent(task, candidate)
    if champion is not None:
        incumbent, contenders = _with_champion(contenders, champion, incumbent, task)
    with asyncio.Runner() as runner:
        measured, examples, unusable = runner.run(work.all_answers(contenders))
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
            episode=config.episode,
            view=config.view,
            policy="auto",
        )
        prompting_of(config)  # a protocol that this version does not know
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
    open_engine: Callable[[Contender], Engine]

    @property
    def sets(self) -> dict[str, Sequence[Sample]]:
        """The samples, by the names of their shards."""
        return {TEST: self.tests.samples, HELD_OUT: self.tests.held_out}

    async def all_answers(self, contenders: Sequence[Contender]) -> _Answered:
        """What every contender answered.

        Raises:
            UserError: a model cannot be used.
            EngineError, JudgeError: there is an outage.
        """
        series = {
            (one.name, name): series_of(
                one,
                self.benchmark,
                name,
                samples,
                folder=self.task.dir / "answers",
                shard_size=self.task.config.evaluate.shard_size,
            )
            for one in contenders
            for name, samples in self.sets.items()
        }
        total = len(contenders) * sum(map(len, self.sets.values()))
        done = sum(one.book.num_found for one in series.values())
        progress = self.task.progress(total, unit="answers", done=done)
        found, examples, unusable = dict[str, Measured](), tuple[Example, ...](), dict[str, str]()
        for group in _by_engine(contenders):
            try:
                engine = self.open_engine(group[0])
            except UserError as error:
                if any(one.role is not ContenderRole.INCUMBENT for one in group):
                    raise
                unusable |= {one.name: str(error) for one in group}
                continue
            own = {key: one for key, one in series.items() if key[0] in {member.name for member in group}}
            measured, shown = await self._of_engine(engine, group, own, partial(progress.advance, 1))
            found |= {one.contender.name: one for one in measured}
            examples += shown
        return _Answered([found[one.name] for one in contenders if one.name in found], examples, unusable)

    async def _of_engine(
        self,
        engine: Engine,
        contenders: Sequence[Contender],
        series: Mapping[tuple[str, str], Series[Answer]],
        on_record: Callable[[], None],
    ) -> tuple[list[Measured], tuple[Example, ...]]:
        """What all contenders answered that one engine speaks for, and conversations of the candidate."""
        config = self.task.config
        asked_as = config.model_copy(update={"episode": contenders[0].episode, "view": contenders[0].view})
        judge = BenchmarkJudge(self.benchmark, self.task.open_judge())
        has_succeeded = any(one.book.num_found for one in series.values())
        examples: tuple[Example, ...] = ()
        takes_shortcut = any(one.first_look != "off" for one in contenders)
        forecast = read_forecast(contenders[0].model) if takes_shortcut else None
        opened = partial(open_runner, judge=judge, config=asked_as, has_succeeded=has_succeeded, forecast=forecast)
        # Time is measured on the engine itself: what is remembered takes none.
        async with opened(engine) as timed, opened(self._remembering(engine, contenders[0])) as runner:
            await ask_open(
                runner,
                series.values(),
                total=sum(len(self.sets[name]) for _, name in series),
                max_lost_ratio=config.model.max_lost_ratio,
                on_record=on_record,
            )
            measured = [await self._measured(timed, one, series) for one in contenders]
            for one in measured:
                if one.contender.role is ContenderRole.CANDIDATE:
                    examples += await examples_of(runner, self.benchmark, self.tests.samples, one, config=config)
        return measured, examples

    def _remembering(self, engine: Engine, contender: Contender) -> Engine:
        """The engine that speaks for `contender`, with the replies that the settings keep."""
        folder = self.task.config.evaluate.reply_cache
        if folder is None:
            return engine
        return CachedEngine(engine, Path(folder), identity=reply_identity(contender))

    async def _measured(
        self, runner: EpisodeRunner, contender: Contender, series: Mapping[tuple[str, str], Series[Answer]]
    ) -> Measured:
        return Measured(
            contender=contender,
            answers=series[contender.name, TEST].book.finished(),
            held_out=series[contender.name, HELD_OUT].book.finished(),
            latency=await self._latency(runner, contender),
        )

    async def _latency(self, runner: EpisodeRunner, contender: Contender) -> Latency:
        """Measured once; a later try reads it."""
        path = self.task.dir / "latency" / f"{escaped(contender.name)}.json"
        if path.exists():
            return Latency.from_dict(read_json(path))
        samples, held_out = self.tests.samples, self.tests.held_out
        count = self.task.config.evaluate.num_latency_samples
        # Two of each family apart tell enough about it, and the headline keeps three quarters at least.
        num_apart = min(2 * len({sample.family for sample in held_out}), count // 4)
        chosen = [samples[index] for index in choose_samples(samples, count - num_apart)]
        apart = [held_out[index] for index in choose_samples(held_out, num_apart)]
        latency = await measure(
            runner,
            [*chosen, *apart],
            partial(ask_of, contender, self.benchmark),
            headline=sorted({sample.family for sample in chosen}),
            clock=self.task.clock,
        )
        atomic_write_json(path, latency.to_dict())
        return latency


def _by_engine(contenders: Sequence[Contender]) -> list[list[Contender]]:
    """Contenders that one engine speaks for, asked with the same texts, sizes and dropped tokens, together."""
    groups: dict[tuple[object, ...], list[Contender]] = {}
    for one in contenders:
        groups.setdefault((one.engine, one.model, one.episode, one.view, one.pruning), []).append(one)
    return list(groups.values())
