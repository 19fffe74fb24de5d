"""Asks a contender's questions in batches and grades the answers; shard by shard, each a file.

Rule: a shard's file appears when all of its samples are answered and graded. What is there is not asked again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig
from visionthink.core.json_value import Json
from visionthink.core.sample import Sample
from visionthink.engines import Engine, Sampling
from visionthink.episodes.driver import run_episodes
from visionthink.errors import DataError, EngineError
from visionthink.evaluation.answer import Answer, to_answer
from visionthink.evaluation.benchmarks import Benchmark, BenchmarkJudge
from visionthink.evaluation.contender import Contender
from visionthink.evaluation.question import Question, questions_of
from visionthink.judges import GradeItem, Judge
from visionthink.metrics import escaped
from visionthink.runs import Progress
from visionthink.runs.folder import read_json
from visionthink.samples import in_shards, num_in_shards
from visionthink.storage import atomic_write_json

TEST: Final = "test"
HELD_OUT: Final = "held-out"
"""The two sets of samples, as their shards are named."""
_GREEDY: Final = 0.0


def greedy(contender: Contender) -> Sampling:
    """How every reply of an evaluation is drawn: the likeliest token each time."""
    return Sampling(temperature=_GREEDY, max_tokens=contender.max_reply_tokens)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asker:
    """Asks one contender's questions."""

    contender: Contender
    benchmark: Benchmark
    engine: Engine
    judge: Judge
    config: RunConfig
    folder: Path
    """Where the shards lie."""
    progress: Progress
    runner: asyncio.Runner

    def answers(self, name: str, samples: Sequence[Sample]) -> list[Answer]:
        """The answers to the samples of the set `name`, in order."""
        found: list[Answer] = []
        for number, shard in enumerate(in_shards(samples, self.config.evaluate.shard_size)):
            path = _folder_of(self.folder, self.contender) / f"{name}-{number:05d}.json"
            answers = _read_shard(path, shard)
            if answers is None:
                answers = self.runner.run(self._ask(questions_of(self.benchmark, shard, self.config.data)))
                atomic_write_json(path, [answer.to_dict() for answer in answers])
                self.progress.advance(len(shard), note=self.contender.label)
            found += answers
        return found

    async def _ask(self, questions: Sequence[Question]) -> list[Answer]:
        episodes = [question.episode(self.contender) for question in questions]
        finishes = await run_episodes(self.engine, episodes, greedy(self.contender))
        if finishes and all(finish.error for finish in finishes):
            raise EngineError(f"every question failed, the first with: {finishes[0].error}", retryable=True)
        judge = BenchmarkJudge(self.benchmark, self.judge)
        items = [
            GradeItem(question=question.sample.question, answer=question.sample.answer, prediction=finish.answer)
            for question, finish in zip(questions, finishes, strict=True)
        ]
        grades = await asyncio.gather(*map(judge.grade, items))
        return [
            to_answer(question.sample, finish, grade, self.contender.visual_tokens)
            for question, finish, grade in zip(questions, finishes, grades, strict=True)
        ]


def num_answered(folder: Path, contenders: Sequence[Contender], name: str, *, size: int, total: int) -> int:
    """How many answers to the set `name` lie in `folder` from an earlier try, all contenders together."""
    return sum(
        num_in_shards(_folder_of(folder, contender), f"{name}-", size=size, total=total) for contender in contenders
    )


def _folder_of(folder: Path, contender: Contender) -> Path:
    return folder / escaped(contender.name)


def _read_shard(path: Path, samples: Sequence[Sample]) -> list[Answer] | None:
    """The answers to these samples; None when they are still to be asked for."""
    if not path.exists():
        return None
    value: Json = read_json(path)
    answers = [Answer.from_dict(entry) for entry in value] if isinstance(value, list) else []
    if [answer.id for answer in answers] != [sample.id for sample in samples]:
        raise DataError(f"{path} holds answers to other samples: the data set was changed meanwhile; start a fresh run")
    return answers
