"""Public benchmarks: the words around a question, what an answer is worth, and the official figures.

Rule: a benchmark is a value here and nothing else. Words and scores are those of lmms-eval 0.7.3
(`lmms_eval/tasks/<name>`); the columns of its rows stand in `datasets.published`.
"""

from collections.abc import Callable
from typing import Final

from visionthink.core.sample import Sample
from visionthink.evaluation.benchmarks import scores
from visionthink.evaluation.benchmarks.benchmark import Benchmark, Score, question
from visionthink.evaluation.benchmarks.official import (
    Official,
    by_kind,
    mme_points,
    no_figures,
    ocrbench_points,
    yes_no_figures,
)
from visionthink.judges import Grade, GradeItem, Judge

_ONE_WORD: Final = "\nAnswer the question with a single word."
_WORD_OR_PHRASE: Final = "\nAnswer the question using a single word or phrase."
_MME_WORDS: Final = " Please answer yes or no."
_FORMULAS: Final = "Handwritten Mathematical Expression Recognition"


def followed_by(words: str, *, without: str = "") -> Callable[[Sample], str]:
    """A prompt: the question, without some words of the set's own, and `words` after it."""

    def prompt(sample: Sample) -> str:
        asked = sample.question.replace(without, "") if without else sample.question
        return f"{asked.strip()}{words}"

    return prompt


def scored(score: Callable[[GradeItem, str], float]) -> Score:
    """A score that needs no judge; an episode without an answer has answered wrong."""

    async def grade(item: GradeItem, judge: Judge) -> Grade:
        return Grade(correct=0.0 if item.prediction is None else score(item, item.prediction))

    return grade


def _ocrbench(item: GradeItem, prediction: str) -> float:
    rule = scores.contains_formula if item.family == _FORMULAS else scores.contains_answer
    return rule(prediction, item.answers)


def _public(
    name: str,
    score: Callable[[GradeItem, str], float],
    *,
    prompt: Callable[[Sample], str] = question,
    official: Official = no_figures,
) -> Benchmark:
    return Benchmark(name=name, prompt=prompt, score=scored(score), official=official)


PUBLIC: Final = {
    benchmark.name: benchmark
    for benchmark in (
        _public(
            "chartqa",
            lambda item, text: scores.relaxed_accuracy(text, item.answer),
            prompt=followed_by(_ONE_WORD),
            official=by_kind,
        ),
        _public(
            "docvqa",
            lambda item, text: scores.anls(text, item.answers),
            prompt=followed_by(_WORD_OR_PHRASE),
        ),
        _public(
            "ocrbench",
            _ocrbench,
            official=ocrbench_points,
        ),
        _public(
            "pope",
            lambda item, text: float(scores.said_yes_or_no(text) == item.answer.lower().strip()),
            prompt=followed_by(_WORD_OR_PHRASE),
            official=yes_no_figures,
        ),
        _public(
            "mme",
            lambda item, text: float(scores.read_yes_or_no(text) == item.answer.lower().strip().replace(".", "")),
            prompt=followed_by(_WORD_OR_PHRASE, without=_MME_WORDS),
            official=mme_points,
        ),
        _public(
            "realworldqa",
            lambda item, text: scores.option_or_text(text, item.answer),
        ),
    )
}
"""By the name that `evaluate.benchmark` takes."""
