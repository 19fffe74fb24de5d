"""Asks two endpoints the same held-out questions and holds their figures against each other.

Rule: episodes, grades and figures are those of every evaluation; what differs is that the pods themselves answer. Pods
are asked directly, past every route. Answers are kept, so a try that was killed goes on. An outage of the version in
use or of the judge is nobody's verdict; a new version that does not answer while the other one does is judged by that.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig, override_config
from visionthink.core.gate import ContenderRole
from visionthink.core.json_value import Json
from visionthink.core.rollout import Judged
from visionthink.core.rollout_gate import AccuracyGain, EndpointFigures, judge_version
from visionthink.core.sample import Sample
from visionthink.engines.chat_client import ChatClient, RetryRule
from visionthink.engines.endpoint import Address
from visionthink.episodes.asking import ask_open
from visionthink.episodes.opening import open_runner
from visionthink.errors import ClusterError, EngineError
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.asking import TEST, ask_of, series_of
from visionthink.evaluation.benchmarks import Benchmark, BenchmarkJudge, benchmark_of
from visionthink.evaluation.contender import Contender
from visionthink.evaluation.figures import graded, mean, resize_rate
from visionthink.evaluation.interval import Bootstrap, mean_interval
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.timing import choose_samples, measure
from visionthink.judges import Judge
from visionthink.rollout.port import Evaluated
from visionthink.rollout.record import ServedVersion
from visionthink.rollout.served_engine import ServedEngine
from visionthink.storage import atomic_write_json
from visionthink.storage.json_file import read_json

_MAX_RETRIES: Final = 1
"""Of one question to a pod that runs; it is no server that is being started again, and episodes are tried again too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointEvaluator:
    """An evaluation over the pods of two versions."""

    config: RunConfig
    addresses: Callable[[str], Sequence[str]]
    """Where the ready pods of a version listen, by its name."""
    folder: Path
    """Keeps the answers."""
    open_judge: Callable[[], Judge]
    api_key: str | None
    clock: Callable[[], float]
    """Seconds, for latencies."""
    say: Callable[[str], None]

    def evaluate(self, version: ServedVersion, incumbent: ServedVersion) -> Evaluated:
        """What the gate says.

        Raises:
            BackendError: the version in use, or the judge, is out of order.
        """
        settings, rollout = self._settings(), self.config.rollout
        benchmark = benchmark_of(settings)
        samples = benchmark.source(settings, self.say).samples
        work = _Work(evaluator=self, settings=settings, benchmark=benchmark, samples=samples)
        before = work.measured(incumbent, ContenderRole.INCUMBENT)
        try:
            after = work.measured(version, ContenderRole.CANDIDATE)
        except EngineError as error:
            return Evaluated(judged=Judged(passed=False, reason=f"it does not answer: {error}"), facts={})
        bootstrap = Bootstrap(num_bootstraps=settings.evaluate.num_bootstraps, seed=settings.seed)
        decision = judge_version(
            after.figures(benchmark, bootstrap),
            before.figures(benchmark, bootstrap),
            gain_of(after.answers, before.answers, bootstrap),
            rollout.gate(),
        )
        for reason in decision.reasons:
            self.say(f"gate: {reason}")
        reason_text = "; ".join(str(reason) for reason in decision.failures)
        return Evaluated(judged=Judged(passed=decision.promote, reason=reason_text), facts=decision.to_dict())

    def _settings(self) -> RunConfig:
        rollout = self.config.rollout
        return override_config(
            self.config,
            {
                "evaluate.num_samples": rollout.num_samples,
                "evaluate.num_held_out_samples": 0,
                "model.max_in_flight": rollout.max_in_flight,
                # What keeps failing is a share that the gate bounds, and not a reason to ask again.
                "model.max_lost_ratio": 1.0,
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """What one endpoint answered."""

    answers: Sequence[Answer]
    latency: Latency

    def figures(self, benchmark: Benchmark, bootstrap: Bootstrap) -> EndpointFigures:
        found = graded(self.answers)
        return EndpointFigures(
            num_samples=len(found),
            accuracy=benchmark.total(found, bootstrap).value,
            resize_rate=resize_rate(self.answers),
            visual_tokens_mean=mean(self.answers, lambda answer: answer.visual_tokens),
            failed_ratio=1 - len(found) / len(self.answers) if self.answers else None,
            latency_p95_s=self.latency.p95_s,
        )


def gain_of(ours: Sequence[Answer], theirs: Sequence[Answer], bootstrap: Bootstrap) -> AccuracyGain | None:
    """The gain in accuracy over the questions that both answered; None where there are none."""
    by_id = {answer.id: answer for answer in graded(theirs)}
    gains = [one.score - by_id[one.id].score for one in graded(ours) if one.id in by_id]
    if not gains:
        return None
    return AccuracyGain(**asdict(mean_interval(gains, bootstrap)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One evaluation."""

    evaluator: EndpointEvaluator
    settings: RunConfig
    benchmark: Benchmark
    samples: Sequence[Sample]

    def measured(self, version: ServedVersion, role: ContenderRole) -> _Measured:
        return asyncio.run(self._measured(version, role))

    async def _measured(self, version: ServedVersion, role: ContenderRole) -> _Measured:
        settings = self.settings
        contender = Contender(
            name=role.value,
            label=version.label,
            role=role,
            model=Path(),
            episode=settings.episode,
            view=settings.view,
            policy="auto",
        )
        folder = self.evaluator.folder / _digest(version, settings)
        series = series_of(
            contender,
            self.benchmark,
            TEST,
            self.samples,
            folder=folder,
            shard_size=min(settings.evaluate.shard_size, 20),
        )
        judge = BenchmarkJudge(self.benchmark, self.evaluator.open_judge())
        has_succeeded = bool(series.book.num_found)
        async with open_runner(self._engine(version), judge, settings, has_succeeded=has_succeeded) as runner:
            await ask_open(
                runner,
                [series],
                total=len(self.samples),
                max_lost_ratio=settings.model.max_lost_ratio,
                on_record=lambda: None,
            )
            path = folder / "latency.json"
            if path.exists():
                latency = Latency.from_dict(read_json(path))
            else:
                chosen = [
                    self.samples[index] for index in choose_samples(self.samples, settings.rollout.num_latency_samples)
                ]
                latency = await measure(
                    runner,
                    chosen,
                    partial(ask_of, contender, self.benchmark),
                    headline=sorted({sample.family for sample in chosen}),
                    clock=self.evaluator.clock,
                )
                atomic_write_json(path, latency.to_dict())
        return _Measured(answers=series.book.finished(), latency=latency)

    def _engine(self, version: ServedVersion) -> ServedEngine:
        addresses = self.evaluator.addresses(version.name)
        if not addresses:
            raise ClusterError(f"no pod of {version.label} is ready to be asked", retryable=True)
        rollout, episode = self.settings.rollout, self.settings.episode
        client = ChatClient(
            [Address(base_url=f"{address}/v1") for address in addresses],
            model=self.settings.cluster.serving.name,
            api_key=self.evaluator.api_key,
            timeout_s=rollout.question_timeout_s,
            max_connections=rollout.max_in_flight,
            retry=RetryRule(max_retries=_MAX_RETRIES),
        )
        questions = {sample.id: self.benchmark.prompt(sample) for sample in self.samples}
        max_tokens = episode.max_reply_tokens * (episode.max_turns + 1)
        return ServedEngine(client, questions, max_turns=episode.max_turns, max_tokens=max_tokens)


def _digest(version: ServedVersion, settings: RunConfig) -> str:
    """A folder's name for what the answers depend on: the version, the questions and how they are asked."""
    facts: list[Json] = [version.name, version.uri, version.runtime, settings.digest(), settings.rollout.num_samples]
    return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()
