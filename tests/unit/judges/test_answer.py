"""How an answer is read before it is compared."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.judges.answer import choice, normalised, number, options, unboxed


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("plain", "plain"),
        (r"so \boxed{42}", "42"),
        (r"\boxed{\frac{1}{2}} and done", r"\frac{1}{2}"),
        (r"first \boxed{1}, no \boxed{2}", "2"),
        (r"\boxed{open", "open"),
        ("", ""),
    ],
)
def test_unboxed_takes_the_last_box(text: str, want: str) -> None:
    assert unboxed(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("The RED circle.", "red circle"),
        ("  a\n  cat ", "cat"),
        (r"\boxed{\text{Blue}}", "blue"),
        ("\uff21\uff17", "a7"),  # full-width letters
        ("**yes**", "yes"),
        ("'tis", "tis"),
        ("...", ""),
    ],
)
def test_normalised_keeps_what_was_meant(text: str, want: str) -> None:
    assert normalised(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("7", (Fraction(7), "")),
        ("-3.50", (Fraction(-7, 2), "")),
        ("\u22123", (Fraction(-3), "")),  # a minus sign, not a hyphen
        (".5", (Fraction(1, 2), "")),
        ("1/2", (Fraction(1, 2), "")),
        ("1,234,567", (Fraction(1234567), "")),
        ("$1,200.50", (Fraction(2401, 2), "$")),
        ("50 %", (Fraction(50), "%")),
        ("50 percent", (Fraction(50), "%")),
        ("12cm", (Fraction(12), "cm")),
        ("3.", (Fraction(3), "")),
        (r"\boxed{0.5}", (Fraction(1, 2), "")),
        ("0", (Fraction(0), "")),
        ("0.0", (Fraction(0), "")),
    ],
)
def test_number_reads_value_and_unit(text: str, want: tuple[Fraction, str]) -> None:
    assert number(text) == want


@pytest.mark.parametrize("text", ["", "seven", "07", "007", "1/0", "1,23", "12 or 13", "1.2.3", "A7", "7 8", "-", "."])
def test_number_is_none_for_what_is_no_number(text: str) -> None:
    assert number(text) is None


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_number_reads_every_integer_with_and_without_commas(value: int) -> None:
    assert number(str(value)) == number(f"{value:,}") == (Fraction(value), "")


@given(st.text(max_size=60))
def test_reading_never_fails(text: str) -> None:
    unboxed(text), normalised(text), number(text), choice(text), options(text)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("B.", "B"),
        ("B) blue", "B"),
        (r"\boxed{C}", "C"),
        ("The answer is (D).", "D"),
        ("option: a", "A"),
        ("blue", None),
        ("A cat", None),
        ("", None),
    ],
)
def test_choice_finds_the_letter(text: str, want: str | None) -> None:
    assert choice(text) == want


@pytest.mark.parametrize(
    ("question", "want"),
    [
        ("Which? (A) red (B) blue", {"A": "red", "B": "blue"}),
        ("Which?\nA. red car\nB. blue car\nC. none", {"A": "red car", "B": "blue car", "C": "none"}),
        ("Which? A) 1, B) 2", {"A": "1", "B": "2"}),
        ("What is (A) in the figure?", {}),
        ("Which? (B) x (C) y", {}),
        ("plain question", {}),
    ],
)
def test_options_are_read_off_the_question(question: str, want: dict[str, str]) -> None:
    assert options(question) == want


def test_endless_row_of_digits_is_no_number() -> None:
    assert number("1" * 5000) is None and number(f"1/{'2' * 5000}") is None
