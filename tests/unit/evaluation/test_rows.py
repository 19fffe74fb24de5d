"""Benchmarks whose rows hold more than an answer: prompts, questions to the judge and scores are those of lmms-eval.

Rows, predictions and replies of the language model are those of `tests/oracles/lmms_rows.py`; each row goes the way of
a published one, through the reader.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.evaluation.answers import answer

from visionthink.core.sample import Sample
from visionthink.datasets.picture_folder import PictureFolder
from visionthink.datasets.published import PUBLISHED
from visionthink.datasets.row import Row, to_sample
from visionthink.evaluation.benchmarks import BenchmarkJudge
from visionthink.evaluation.benchmarks.mmbench import ability_shares, circular
from visionthink.evaluation.benchmarks.public import PUBLIC
from visionthink.evaluation.interval import Bootstrap
from visionthink.judges import Grade, GradeItem
from visionthink.storage import LocalStore

GOLDEN = Path(__file__).parents[2] / "golden" / "benchmarks"
NAMES = ("mathverse", "mathvista", "mmbench", "mmmu", "mmmu_pro", "mmmu_pro_vision", "mmvet", "vstar")
PICTURES = {"mathvista": "decoded_image", "mmmu": "image_1", "mmmu_pro": "image_1"}


@dataclass
class Said:
    """A judge that reads a language model's reply as an inquiry says, and keeps what it was asked."""

    reply: str | None
    asked: str | None = None

    async def grade(self, item: GradeItem) -> Grade:
        assert item.inquiry is not None and self.reply is not None, "nobody is asked here"
        self.asked = item.inquiry.text
        value = item.inquiry.read(self.reply)
        return Grade(correct=0.0, failed=True) if value is None else Grade(correct=value)

    async def aclose(self) -> None:
        """Nothing to give back."""


def digest(text: str | None) -> str | None:
    return None if text is None else hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def sample_of(name: str, cells: Mapping[str, Any]) -> Sample:
    picture = {PICTURES.get(name, "image"): {"bytes": b"picture", "path": None}}
    row = Row(name="row", default_id="set:0", values={**cells, **picture}, schema=PUBLISHED[name].schema)
    return to_sample(row, PictureFolder(LocalStore(Path("nowhere"))))


def item_of(sample: Sample, got: str | None) -> GradeItem:
    return GradeItem(
        question=sample.question,
        answer=sample.answer,
        other_answers=sample.other_answers,
        prediction=got,
        family=sample.family,
        details=sample.details,
    )


def graded(name: str, sample: Sample, got: str | None, judge: Said) -> Grade:
    return asyncio.run(BenchmarkJudge(PUBLIC[name], judge).grade(item_of(sample, got)))


@pytest.mark.parametrize("name", NAMES)
def test_prompts_are_those_of_lmms_eval(name: str) -> None:
    rows = golden(name)["rows"]
    unlike = [row for row in rows if digest(PUBLIC[name].prompt(sample_of(name, row["row"]))) != row["prompt"]]
    assert not unlike, (unlike[0], PUBLIC[name].prompt(sample_of(name, unlike[0]["row"])))


@pytest.mark.parametrize("name", NAMES)
def test_scores_and_questions_to_the_judge_are_those_of_lmms_eval(name: str) -> None:
    found = golden(name)
    samples = [sample_of(name, row["row"]) for row in found["rows"]]
    assert len(found["pairs"]) >= 500
    unlike = []
    for place, got, reply, asked, score in found["pairs"]:
        judge = Said(reply)
        grade = graded(name, samples[place], got, judge)
        if grade.failed or grade.correct != score or digest(judge.asked) != asked:
            unlike.append((found["rows"][place]["row"], got, reply, asked, score, grade))
    assert not unlike, (len(unlike), unlike[:3])
    scores = [pair[4] for pair in found["pairs"]]
    assert 0.05 < sum(scores) / len(scores) < 0.95, "pairs that are all right or all wrong prove nothing"


def test_mmbench_counts_a_question_in_all_its_rotations_as_lmms_eval_does() -> None:
    found = golden("mmbench")
    samples = [sample_of("mmbench", row["row"]) for row in found["rows"]]
    answers = [
        replace(answer(samples[place].id, score=score), family=samples[place].family)
        for place, _, _, _, score in found["pairs"]
    ]
    want, shares = found["more"], ability_shares(answers)
    assert circular(answers, Bootstrap(num_bootstraps=20, seed=0)).value == pytest.approx(want["total"])
    assert {name: shares[name] for name in want["abilities"]} == pytest.approx(want["abilities"])
    assert shares["single"] > want["total"]
