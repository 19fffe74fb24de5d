"""Only a clear score is a verdict."""

import pytest

from visionthink.judges import GradeItem
from visionthink.judges.verdict import judge_question, parse_verdict


@pytest.mark.parametrize(
    ("reply", "want"),
    [
        ("Score: 1", 1.0),
        ("Score: 0", 0.0),
        ("**Score:** 1", 1.0),
        ("The prediction is wrong.\n\nscore: 0.0", 0.0),
        ("1", 1.0),
        (" 0.", 0.0),
        ("<think>Score: 0? No, 10 of 10.</think>\nScore: 1", 1.0),
        ("Score: 1. I am sure. Score: 1", 1.0),
        ("Score: 0 ... out of 10", 0.0),
    ],
)
def test_a_clear_score_is_a_verdict(reply: str, want: float) -> None:
    assert parse_verdict(reply) == want


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "correct",
        "Score: 0 or 1",
        "Score: 10",
        "Score: 1/10",
        "Score: 0.5",
        "Score: 1 ... no, Score: 0",
        "10",
        "I count 1 circle.",
        "<think>Score: 1",
        "underscore: 1",
    ],
)
def test_an_unclear_reply_is_none(reply: str) -> None:
    assert parse_verdict(reply) is None


def test_the_question_holds_the_texts_as_they_are() -> None:
    text = judge_question(GradeItem(question="what {answer} ?", answer="{0}", prediction=r"\boxed{x}"))
    assert "1. **Question Related to the Image**: what {answer} ?\n" in text
    assert "2. **Ground Truth Answer**: {0}\n" in text
    assert "3. **Model Predicted Answer**: \\boxed{x}\n" in text
    assert text.endswith('"Score: 0 or 1"')


def test_the_question_shows_every_answer_that_counts() -> None:
    item = GradeItem(question="how many ?", answer="8", other_answers=("eight people", "8"), prediction="8")
    line = judge_question(item).split("\n")[3]
    assert line.startswith("2. **Ground Truth Answer** (") and line.endswith(': "8" | "eight people"')
    assert "any one of them" in line
