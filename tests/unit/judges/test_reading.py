"""How the parts of an answer are read before anything is compared."""

from fractions import Fraction

import pytest

from visionthink.judges.expression import is_rounding, values
from visionthink.judges.moment import read_date, read_time
from visionthink.judges.number import read_number, read_roman
from visionthink.judges.option import options
from visionthink.judges.statement import boxed, committed
from visionthink.judges.text import folded, plain, trimmed
from visionthink.judges.unit import read_unit


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("10²", "10^2"),
        ("1½", "1 1/2"),
        ("\uff21\uff17", "A7"),
        ("$13$ and $5", "13 and $5"),
        (r"\text{Blue}", "Blue"),
        ("a\u200bb", "ab"),
        (r"45^{\circ}", "45°"),
        ("H₂O", "H2O"),
    ],
)
def test_plain_keeps_the_meaning_of_signs(text: str, want: str) -> None:
    assert plain(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [("(B).", "B"), (".5", ".5"), ("A+", "A+"), ("(3, 4)", "(3, 4)"), ("5!", "5!"), ("'98", "'98"), ("...", "")],
)
def test_trimmed_takes_form_only(text: str, want: str) -> None:
    assert trimmed(text) == want


@pytest.mark.parametrize(("text", "want"), [("The RED circle.", "red circle"), ("U.S.A.", "usa"), ("A C", "a c")])
def test_folded_keeps_what_was_meant(text: str, want: str) -> None:
    assert folded(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (r"so \boxed{42}", "42"),
        (r"\boxed{\frac{1}{2}} and done", r"\frac{1}{2}"),
        (r"first \boxed{1}, then a long way to \boxed{2}", "2"),
        (r"\boxed{1} or \boxed{2}", "1 or 2"),
        (r"$\boxed{5}$ cm", "5 cm"),
        (r"\boxed{open", "open"),
        ("none", None),
    ],
)
def test_the_last_box_counts_with_what_is_joined_to_it(text: str, want: str | None) -> None:
    assert boxed(text) == want


@pytest.mark.parametrize(
    ("text", "want", "is_committed"),
    [
        ("The answer is B because it is red.", "B", True),
        ("A first, but the answer is C.", "C", True),
        ("the color of the shape is red", "red", True),
        ("The house is red.", "The house is red", False),
        ("red", "red", False),
    ],
)
def test_the_last_commitment_counts(text: str, want: str, is_committed: bool) -> None:
    got = committed(text, "what color is the shape ?")
    assert (got.text, got.is_committed) == (want, is_committed)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1,234.5", Fraction(2469, 2)),
        ("1 1/2", Fraction(3, 2)),
        ("1.234,56", Fraction(123456, 100)),
        ("6.02e2", Fraction(602)),
        ("twenty-one", Fraction(21)),
        ("two and a half", Fraction(5, 2)),
        ("one hundred and five thousand", Fraction(105000)),
    ],
)
def test_numbers_are_exact(text: str, want: Fraction) -> None:
    got = read_number(text)
    assert got is not None and got.value == want and got.end == len(text)


@pytest.mark.parametrize("text", ["", "07", "1.2.3", "1/0", "third", "9" * 100, "cat", "1e999"])
def test_what_is_no_number_is_none(text: str) -> None:
    got = read_number(text)
    assert got is None or got.end < len(text)


def test_a_number_that_can_be_two_says_so() -> None:
    got = read_number("1.234")
    assert got is not None and (got.value, got.doubtful) == (Fraction(1234, 1000), Fraction(1234))


@pytest.mark.parametrize(("text", "want"), [("XIV", 14), ("iv", 4), ("I", None), ("IIII", None), ("MIX", 1009)])
def test_roman_numerals(text: str, want: int | None) -> None:
    assert read_roman(text) == want


@pytest.mark.parametrize(
    ("text", "same"),
    [("km/h", "km per hour"), ("sq ft", "ft^2"), ("KM", "kilometres"), ("m/s²", "m s^-2"), ("$", "usd")],
)
def test_units_have_many_spellings(text: str, same: str) -> None:
    assert read_unit(plain(text)) == read_unit(same) != ()


@pytest.mark.parametrize("text", ["P", "cats", "dots", "mb", "", "per", "a"])
def test_a_spelling_that_is_not_listed_is_no_unit(text: str) -> None:
    assert read_unit(text) == ()


def test_prefixes_keep_their_case() -> None:
    assert read_unit("mW") != read_unit("MW") and read_unit("Mb") != read_unit("MB")


@pytest.mark.parametrize(
    ("text", "want"),
    [(r"\sqrt{4}", Fraction(2)), (r"\frac12", Fraction(1, 2)), ("2*(3+4)", Fraction(14)), (r"\log_{2} 8", 3.0)],
)
def test_formulas_have_values(text: str, want: float | Fraction) -> None:
    assert values(text) == (want,)


@pytest.mark.parametrize("text", ["", "x2", "red", "1/0", "9^{9^{9^9}}", "(" * 50 + "1" + ")" * 50, "1 +"])
def test_what_is_no_formula_has_none(text: str) -> None:
    assert values(text) is None


def test_other_variables_make_another_formula() -> None:
    assert values("x + 1") != values("y + 1")


@pytest.mark.parametrize(("text", "want"), [("3.14", True), ("3.15", False), ("3.1", False), ("-3.14", False)])
def test_a_rounding_has_two_decimals_and_is_near(text: str, want: bool) -> None:
    assert is_rounding(Fraction(22, 7), text) is want


def test_dates_and_times() -> None:
    christmas, short = read_date("25th of December 2020"), read_date("1/2/2020")
    assert christmas is not None and christmas == read_date("Friday, Dec. 25, 2020")
    assert short is not None and len(short.days) == 2
    assert read_date("12/34/2020") is None and read_date("10") is None
    assert read_time("3:45 pm") == read_time("15:45") != read_time("3:45")
    assert read_time("10") is None and read_time("25:00") is None


@pytest.mark.parametrize(
    ("question", "want"),
    [
        ("Which? (A) red (B) blue", {"A": "red", "B": "blue"}),
        ("Which?\nA. red car\nB. blue car\nC. none", {"A": "red car", "B": "blue car", "C": "none"}),
        ("Which? (a) 1 (b) 2", {"A": "1", "B": "2"}),
        ("Which? (1) a circle (2) a square", {"1": "a circle", "2": "a square"}),
        ("What is (A) in the figure?", {}),
        ("Which? (B) x (C) y", {}),
        ("plain question", {}),
    ],
)
def test_options_are_read_off_the_question(question: str, want: dict[str, str]) -> None:
    assert options(question) == want


def test_any_number_of_options_is_read() -> None:
    letters = [chr(65 + index) for index in range(26)]
    assert list(options("Which?\n" + "\n".join(f"{letter}. item {letter}x" for letter in letters))) == letters


def test_a_number_beyond_floats_is_no_error() -> None:
    assert not is_rounding(Fraction(10) ** 500, "3.14")
    assert values("99^{99} + x") is not None
