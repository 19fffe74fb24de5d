"""What the rule judge takes for the same answer, and what it does not."""

import pytest

from visionthink.judges import GradeItem
from visionthink.judges.rule import is_match

CHOICES = "Which color? (A) red (B) dark blue (C) 7"


@pytest.mark.parametrize(
    ("answer", "prediction"),
    [
        ("red", "Red."),
        ("red circle", "the red  circle"),
        ("A7K2", "a7k2"),
        ("07", "07"),
        ("42", r"\boxed{42}"),
        (r"\boxed{42}", "42.0"),
        ("1200", "1,200"),
        ("0.5", "1/2"),
        ("50%", "50"),
        ("50%", "50 percent"),
        ("yes", "Yes, it is."),
        ("no", "no"),
    ],
)
def test_the_same_answer_matches(answer: str, prediction: str) -> None:
    assert is_match(GradeItem(question="what ?", answer=answer, prediction=prediction))


@pytest.mark.parametrize(
    ("answer", "prediction"),
    [
        ("red", None),
        ("red", ""),
        ("red", "  "),
        ("red", "red or blue"),
        ("red", "dark red"),
        ("red", "re"),
        ("07", "7"),
        ("7", "07"),
        ("42", "42 or 43"),
        ("50%", "50 cm"),
        ("12 cm", "12 m"),
        ("12", "1.2"),
        ("yes", "yes or no"),
        ("no", "not sure"),
        ("yes", "no"),
        ("B", "the answer is B or C"),
        ("...", "!!!"),
    ],
)
def test_another_answer_does_not_match(answer: str, prediction: str | None) -> None:
    assert not is_match(GradeItem(question="what ?", answer=answer, prediction=prediction))


@pytest.mark.parametrize(
    ("answer", "prediction", "want"),
    [
        ("B", "B", True),
        ("B", "(b)", True),
        ("B", "B. dark blue", True),
        ("B", "dark blue", True),
        ("dark blue", "B", True),
        ("C", "7", True),
        ("B", "the answer is B", True),
        ("B", "A", False),
        ("B", "red", False),
        ("B", "D", False),
        ("B", "blue", False),
        ("B", "the answer is B or C", False),
        ("A", "A, B, C", False),
        ("A", "A and B", False),
        ("B", "(A) (B) (C)", False),
    ],
)
def test_a_listed_option_may_be_named_by_letter_or_by_text(answer: str, prediction: str, want: bool) -> None:
    assert is_match(GradeItem(question=CHOICES, answer=answer, prediction=prediction)) is want
