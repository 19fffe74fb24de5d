"""A benchmark of one's own is a value: its words, its reading, its scores and its total, and nothing else changes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.unit.evaluation.answers import answer

from visionthink.config import RunConfig, override_config
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.benchmarks import Benchmark, BenchmarkJudge, benchmark_of
from visionthink.evaluation.interval import Bootstrap
from visionthink.judges import Grade, GradeItem, Judge, RuleJudge
from visionthink.report import Interval

ITEM = GradeItem(question="how much ?", answer="10", prediction="Answer: 9", other_answers=("ten",))


async def closeness(item: GradeItem, judge: Judge) -> Grade:
    """A score that is no verdict: how near the number is."""
    if item.prediction is None:
        return Grade(correct=0.0)
    return Grade(correct=1 - abs(float(item.answer) - float(item.prediction)) / 10)


def graded(benchmark: Benchmark, item: GradeItem) -> Grade:
    return asyncio.run(BenchmarkJudge(benchmark, RuleJudge()).grade(item))


NEAR = Benchmark(name="near", read=lambda text: text.removeprefix("Answer: "), score=closeness)


def test_benchmark_reads_and_scores_in_its_own_way() -> None:
    assert graded(NEAR, ITEM).correct == pytest.approx(0.9)
    assert graded(NEAR, replace(ITEM, prediction=None)).correct == 0.0


def test_benchmark_leaves_scoring_to_the_judge_who_knows_every_answer() -> None:
    plain = replace(NEAR, score=benchmark_of(RunConfig()).score)
    assert [graded(plain, replace(ITEM, prediction=text)).correct for text in ("Answer: Ten", "11")] == [1.0, 0.0]


def test_total_is_the_mean_score_unless_the_benchmark_says_otherwise() -> None:
    def all_or_nothing(answers: Sequence[Answer], bootstrap: Bootstrap) -> Interval:
        value = float(all(one.score == 1 for one in answers))
        return Interval(value=value, low=value, high=value)

    answers, bootstrap = [answer("1"), answer("2", score=0.4)], Bootstrap(num_bootstraps=20, seed=0)
    assert NEAR.total(answers, bootstrap).value == pytest.approx(0.7)
    assert replace(NEAR, total=all_or_nothing).total(answers, bootstrap).value == 0.0


def test_benchmark_of_the_settings_is_the_one_they_name_or_the_picture_world_or_rows_of_ones_own() -> None:
    def name(**settings: object) -> str:
        return benchmark_of(
            override_config(RunConfig(), {key.replace("_", ".", 1): settings[key] for key in settings})
        ).name

    assert name() == "picture world"
    assert name(data_source="a.parquet") == "a.parquet"
    assert name(data_source="a.parquet", data_eval_source="b.parquet") == "b.parquet"
    assert name(evaluate_benchmark="mme", data_eval_source="b.parquet") == "mme"
