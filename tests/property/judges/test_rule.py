"""What holds of the rule judge for every text."""

import string
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from visionthink.judges import GradeItem
from visionthink.judges.moment import read_time
from visionthink.judges.quantity import read_quantities
from visionthink.judges.rule import tell
from visionthink.judges.told import Told

QUESTIONS = ("q", "what code is on the tag ?", "How many are there?", "Which? (A) dog (B) 12 (C) 3/4")
codes = st.text(string.ascii_uppercase + string.digits, min_size=1, max_size=8)
numbers = st.decimals(min_value=-(10**9), max_value=10**9, places=2)
texts = st.text(max_size=80) | st.text("0123456789.,-/ $%{}\\()ABCxkm:^", max_size=40)


def is_plain_code(code: str) -> bool:
    """Whether a code cannot be read as a quantity with a spelled-out unit ("46KG"), nor as a time ("5AM")."""
    return read_time(code) is None and not any(len(each.unit_text) > 1 for each in read_quantities(code))


def said(answer: str, prediction: str, question: str = "q") -> Told:
    return tell(GradeItem(question=question, answer=answer, prediction=prediction))


@given(st.sampled_from(QUESTIONS) | texts, texts, texts)
def test_every_text_is_told(question: str, answer: str, prediction: str) -> None:
    assert said(answer, prediction, question) in Told


@given(texts.filter(str.strip))
def test_a_text_is_never_wrong_about_itself(text: str) -> None:
    if any(char.isalnum() for char in text):
        assert said(text, text) is not Told.WRONG


@given(codes, st.sampled_from(string.ascii_letters + string.digits), st.integers(min_value=0, max_value=8))
def test_a_letter_or_digit_more_is_another_code(code: str, char: str, place: int) -> None:
    longer = code[:place] + char + code[place:]
    assume(is_plain_code(code))
    assert said(code, longer) is not Told.RIGHT
    assert said(longer, code) is not Told.RIGHT


@given(codes, st.sampled_from(string.ascii_uppercase + string.digits))
def test_a_letter_or_digit_behind_a_code_is_told_to_be_wrong(code: str, char: str) -> None:
    assume(len(code) > 1 and is_plain_code(code))
    assert said(code, code + char, "what code is on the tag ?") is Told.WRONG


@given(numbers, numbers)
def test_numbers_are_equal_both_ways_round(one: Decimal, other: Decimal) -> None:
    assert said(str(one), str(other)) is said(str(other), str(one))
    assert (said(str(one), str(other)) is Told.RIGHT) == (one == other)


FORMS = (
    "{}",
    " {} ",
    "{}.",
    "${}$",
    "**{}**",
    r"\boxed{{{}}}",
    r"\({}\)",
    "The answer is {}.",
    "Answer: {}",
    "x = {}",
    "about {}",
    "({})",
    '"{}"',
)


@given(
    st.integers(min_value=1, max_value=10**9),
    st.booleans(),
    st.sampled_from(FORMS),
    st.sampled_from(("", ",", "\u202f", "{,}")),
)
def test_a_number_is_the_same_in_every_form(value: int, is_negative: bool, form: str, separator: str) -> None:
    digits = f"{value:,}".replace(",", separator) if separator else str(value)
    sign = "\u2212" if is_negative else ""
    answer = str(-value if is_negative else value)
    assert said(answer, form.format(sign + digits)) is Told.RIGHT
    assert said(answer, form.format(sign + str(value + 1))) is not Told.RIGHT


@given(st.integers(min_value=0, max_value=999), st.sampled_from(("cm", "kg", "€", "%", "km/h", "°C", "years")))
def test_a_unit_may_be_missing_but_not_be_another(value: int, unit: str) -> None:
    assert said(f"{value} {unit}", str(value), "How much is it?") in (
        (Told.RIGHT,) if value else (Told.RIGHT, Told.UNTOLD)
    )
    assert said(f"{value} {unit}", f"{value} mm") is not Told.RIGHT or (value == 0 and unit == "cm")


@pytest.mark.parametrize("minus", "-\u2212\u2013\u2014\u2010\u2011\u2012\ufe63\uff0d\u207b")
def test_every_minus_is_a_minus(minus: str) -> None:
    assert said("-5", f"{minus}5") is Told.RIGHT
    assert said("5", f"{minus}5") is Told.WRONG
