"""What a benchmark is made of.

Rule: plain functions, none of which knows the model that is judged. A score is a number from 0 to 1 and is never cut:
partial credit stays partial.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.benchmarks.official import Official, no_figures
from visionthink.evaluation.interval import Bootstrap, score_interval
from visionthink.judges import Grade, GradeItem, Inquiry, Judge
from visionthink.report.record import Interval
from visionthink.samples import Say, TestSet, samples_to_evaluate

Score: TypeAlias = Callable[[GradeItem, Judge], Awaitable[Grade]]
Rule: TypeAlias = Callable[[GradeItem, str], float | Inquiry]
"""What a prediction is worth, or what a judge has to be asked to know it."""
Total: TypeAlias = Callable[[Sequence[Answer], Bootstrap], Interval]


def samples_of_settings(config: RunConfig, say: Say) -> TestSet:
    """The held-out samples that the settings name."""
    return samples_to_evaluate(config, say=say)


def question(sample: Sample) -> str:
    """The sample's own words."""
    return sample.question


def whole(prediction: str) -> str:
    """All of it: the protocol's answer tag already holds nothing but the answer."""
    return prediction


async def judged(item: GradeItem, judge: Judge) -> Grade:
    """What the judge of the settings says."""
    return await judge.grade(item)


def ruled(rule: Rule) -> Score:
    """A score by a rule, which may leave a prediction to the judge; an episode without an answer has answered wrong."""

    async def grade(item: GradeItem, judge: Judge) -> Grade:
        if item.prediction is None:
            return Grade(correct=0.0)
        found = rule(item, item.prediction)
        return await judge.grade(replace(item, inquiry=found)) if isinstance(found, Inquiry) else Grade(correct=found)

    return grade


def detail(details: Mapping[str, tuple[str, ...]], name: str) -> str:
    """The one text of a detail of a row; empty where there is none."""
    return details[name][0] if details.get(name) else ""


def mean_score(answers: Sequence[Answer], bootstrap: Bootstrap) -> Interval:
    """The mean of the scores: the share of correct answers."""
    return score_interval([answer.score for answer in answers], bootstrap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A set of questions, and what an answer to one is worth."""

    name: str
    scoring: str = "what the judge says"
    """What an answer is worth, in a few words."""
    asks_judge: bool = True
    """Whether predictions may be left to the judge."""
    source: Callable[[RunConfig, Say], TestSet] = samples_of_settings
    """The samples, the same ones in the same order each time; what was left out of them is said."""
    prompt: Callable[[Sample], str] = question
    """What the model is asked, without the texts of the protocol around it."""
    read: Callable[[str], str] = whole
    """The prediction that is graded, out of what the episode ended with."""
    score: Score = judged
    """What a prediction is worth, by a rule of the benchmark's own or through the judge. A grade that failed is no
    score."""
    total: Total = mean_score
    """The headline figure, 0 to 1, of answers that were graded, with its interval."""
    official: Official = no_figures
    """Further figures under which the benchmark is published, by their names, in its own units."""


@dataclass(frozen=True, slots=True)
class BenchmarkJudge:
    """A benchmark's reading and scoring as a judge, so that whoever has answers graded need not know benchmarks."""

    benchmark: Benchmark
    judge: Judge

    async def grade(self, item: GradeItem) -> Grade:
        """The grade that the benchmark gives."""
        prediction = None if item.prediction is None else self.benchmark.read(item.prediction)
        return await self.benchmark.score(replace(item, prediction=prediction), self.judge)

    async def aclose(self) -> None:
        """Close the judge."""
        await self.judge.aclose()
