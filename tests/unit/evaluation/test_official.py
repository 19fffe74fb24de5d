"""The figures under which public benchmarks are published, on answers whose figures can be counted by hand."""

from dataclasses import replace

import pytest
from tests.unit.evaluation.answers import answer

from visionthink.evaluation.answer import Answer
from visionthink.evaluation.benchmarks.official import by_kind, mme_points, ocrbench_points, yes_no_figures


def of(family: str, score: float, name: str = "1", want: str = "yes", got: str | None = "yes") -> Answer:
    return replace(answer(name, score=score), family=family, want=want, got=got)


def test_chartqa_tells_its_two_splits_apart() -> None:
    found = by_kind([of("human_test", 1.0), of("human_test", 0.0), of("augmented_test", 1.0)])
    assert found == {"human_test": 0.5, "augmented_test": 1.0}


def test_ocrbench_counts_points() -> None:
    found = ocrbench_points([of("Digit String Recognition", 1.0), of("Digit String Recognition", 0.0), of("VQA", 1.0)])
    assert found == {"points": 2.0, "Digit String Recognition": 1.0, "VQA": 1.0}


def test_pope_gives_precision_recall_and_f1_of_yes() -> None:
    said = [("yes", "Yes"), ("yes", "no"), ("no", "yes"), ("no", "no"), ("no", None), ("yes", "yes "), ("yes", "maybe")]
    found = yes_no_figures([of("random", 0.0, want=want, got=got) for want, got in said])
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["yes_ratio"] == pytest.approx(4 / 7)


def test_pope_that_never_says_yes_has_no_f1_and_divides_by_nothing() -> None:
    assert yes_no_figures([of("random", 0.0, got="no")])["f1"] == 0.0
    assert yes_no_figures([])["yes_ratio"] == 0.0


def test_mme_adds_single_and_paired_accuracy_by_category() -> None:
    answers = [
        of("count", 1.0, "a.png"),
        of("count", 1.0, "a.png#2"),
        of("count", 1.0, "b.png"),
        of("count", 0.0, "b.png#2"),
    ]
    answers += [of("code_reasoning", 0.0, "c.png"), of("code_reasoning", 1.0, "c.png#2")]
    found = mme_points(answers)
    assert found["count"] == pytest.approx((200 + 50) / 2)
    assert found["cognition"] == found["code_reasoning"] == pytest.approx(50.0)
    assert found["perception"] == pytest.approx(125.0)
    assert found["total"] == pytest.approx(175.0)


def test_mme_leaves_out_a_picture_of_which_one_question_was_lost() -> None:
    assert "count" not in mme_points([of("count", 1.0, "a.png")])
