"""Public benchmarks: the words around a question, what an answer is worth, and the official figures.

Rule: a benchmark is a value here and nothing else. Words and scores are those of lmms-eval 0.7.3
(`lmms_eval/tasks/<name>`); the columns of its rows stand in `datasets.published`.
"""

from collections.abc import Callable
from typing import Final

from visionthink.core.sample import Sample
from visionthink.evaluation.benchmarks import mathverse, mathvista, mmbench, mmmu, mmvet, scores, vstar
from visionthink.evaluation.benchmarks.benchmark import Benchmark, Rule, Total, mean_score, question, ruled
from visionthink.evaluation.benchmarks.official import (
    Official,
    by_kind,
    mme_points,
    no_figures,
    ocrbench_points,
    yes_no_figures,
)
from visionthink.judges import GradeItem

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


def _ocrbench(item: GradeItem, prediction: str) -> float:
    rule = scores.contains_formula if item.family == _FORMULAS else scores.contains_answer
    return rule(prediction, item.answers)


def _public(
    name: str,
    rule: Rule,
    scoring: str,
    *,
    prompt: Callable[[Sample], str] = question,
    asks_judge: bool = False,
    total: Total = mean_score,
    official: Official = no_figures,
) -> Benchmark:
    return Benchmark(
        name=name,
        scoring=scoring,
        asks_judge=asks_judge,
        prompt=prompt,
        score=ruled(rule),
        total=total,
        official=official,
    )


PUBLIC: Final = {
    benchmark.name: benchmark
    for benchmark in (
        _public(
            "chartqa",
            lambda item, text: scores.relaxed_accuracy(text, item.answer),
            "right within 5 %, or the same text",
            prompt=followed_by(_ONE_WORD),
            official=by_kind,
        ),
        _public(
            "docvqa",
            lambda item, text: scores.anls(text, item.answers),
            "ANLS",
            prompt=followed_by(_WORD_OR_PHRASE),
        ),
        _public(
            "mathverse",
            mathverse.rule,
            "the judge's verdict",
            asks_judge=True,
            official=by_kind,
        ),
        _public(
            "mathvista",
            mathvista.rule,
            "the answer that the judge extracts, compared",
            prompt=mathvista.prompt,
            asks_judge=True,
            official=by_kind,
        ),
        _public(
            "mmbench",
            mmbench.rule,
            "the option, in every rotation; the judge matches what names none",
            prompt=mmbench.prompt,
            asks_judge=True,
            total=mmbench.circular,
            official=mmbench.ability_shares,
        ),
        _public(
            "mme",
            lambda item, text: float(scores.read_yes_or_no(text) == item.answer.lower().strip().replace(".", "")),
            "yes or no",
            prompt=followed_by(_WORD_OR_PHRASE, without=_MME_WORDS),
            official=mme_points,
        ),
        _public(
            "mmmu",
            mmmu.rule,
            "the option, or the words or number of an open answer",
            prompt=mmmu.prompt,
            official=mmmu.subject_shares,
        ),
        _public(
            "mmmu_pro",
            mmmu.rule_pro,
            "the option, of up to ten",
            prompt=mmmu.prompt_pro,
            official=mmmu.subject_shares,
        ),
        _public(
            "mmmu_pro_vision",
            mmmu.rule_vision,
            "the letter of the option alone",
            prompt=mmmu.prompt_vision,
            official=mmmu.subject_shares,
        ),
        _public(
            "mmvet",
            mmvet.rule,
            "the judge's grade, 0.0 to 1.0",
            prompt=mmvet.prompt,
            asks_judge=True,
            official=mmvet.capability_points,
        ),
        _public(
            "ocrbench",
            _ocrbench,
            "the answer stands in the reply",
            official=ocrbench_points,
        ),
        _public(
            "pope",
            lambda item, text: float(scores.said_yes_or_no(text) == item.answer.lower().strip()),
            "yes or no",
            prompt=followed_by(_WORD_OR_PHRASE),
            official=yes_no_figures,
        ),
        _public(
            "realworldqa",
            lambda item, text: scores.option_or_text(text, item.answer),
            "the option, or the same text",
        ),
        _public(
            "vstar",
            vstar.rule,
            "the option",
            prompt=vstar.prompt,
            official=by_kind,
        ),
    )
}
"""By the name that `evaluate.benchmark` takes."""
