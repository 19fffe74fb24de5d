"""Scores of public benchmarks: those of lmms-eval's functions, on pairs of `tests/oracles/lmms_scores.py`."""

import asyncio
import json
from pathlib import Path

import pytest

from visionthink.evaluation.benchmarks import BenchmarkJudge
from visionthink.evaluation.benchmarks.public import PUBLIC
from visionthink.evaluation.benchmarks.scores import edit_distance, option_letter
from visionthink.judges import GradeItem, RuleJudge

GOLDEN = Path(__file__).parents[2] / "golden" / "benchmarks"
NAMES = ("chartqa", "docvqa", "mme", "ocrbench", "pope", "realworldqa")
"""Those whose rows hold no more than an answer; see `test_rows` for the others."""


def score(name: str, got: str | None, answers: list[str], family: str = "") -> float:
    item = GradeItem(question="?", answer=answers[0], other_answers=tuple(answers[1:]), prediction=got, family=family)
    grade = asyncio.run(BenchmarkJudge(PUBLIC[name], RuleJudge()).grade(item))
    assert not grade.failed
    return grade.correct


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_lmms_eval(name: str) -> None:
    rows = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    assert len(rows) >= 500
    ours = [score(name, got, answers, family) for got, answers, family, _ in rows]
    unlike = [(row, mine) for row, mine in zip(rows, ours, strict=True) if mine != row[3]]
    assert not unlike, unlike[:5]
    assert 0.05 < sum(row[3] for row in rows) / len(rows) < 0.95, "pairs that are all right or all wrong prove nothing"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_no_answer_is_a_wrong_answer(name: str) -> None:
    assert score(name, None, ["yes"]) == 0.0


@pytest.mark.parametrize(
    ("one", "other", "distance"), [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("sitting", "kitten", 3)]
)
def test_edit_distance(one: str, other: str, distance: int) -> None:
    assert edit_distance(one, other) == distance


@pytest.mark.parametrize(
    ("text", "letter"),
    [("(A) at first, but the answer is C", "C"), ("B", "B"), ("A. red", "A"), ("none of these", ""), ("", "")],
)
def test_option_letter(text: str, letter: str) -> None:
    assert option_letter(text) == letter
