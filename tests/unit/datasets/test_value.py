"""Gaps, numbers and lists in cells, whatever wrote the table."""

from decimal import Decimal

import pytest

from visionthink.datasets.value import flag_of, is_missing, text_of, texts_of
from visionthink.errors import DataError

NAN = float("nan")


class NAType:
    """What pandas.NA looks like from outside: comparing it is an error."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize("value", [None, NAN, Decimal("NaN"), NAType(), "", "  \n", "\u00a0"])
def test_gap_is_missing(value: object) -> None:
    assert is_missing(value)
    assert text_of(value, "c") is None
    assert texts_of(value, "c") == ()
    assert flag_of(value, "c") is None


@pytest.mark.parametrize("value", ["nan", "NaN", "null", "None", "NA", "0", 0, 0.0, False])
def test_text_or_number_is_not_missing(value: object) -> None:
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("nan", "nan"),
        (" kept ", " kept "),
        (7, "7"),
        (7.0, "7"),
        (-0.0, "0"),
        (7.5, "7.5"),
        (1e15, "1000000000000000"),
        (1e300, "1e+300"),
        (2**63, "9223372036854775808"),
        (Decimal("7.50"), "7.50"),
        (Decimal("1E+2"), "100"),
    ],
)
def test_text_is_what_people_write(value: object, want: str) -> None:
    assert text_of(value, "c") == want


@pytest.mark.parametrize("value", [True, ["a"], {"a": 1}, b"a", float("inf"), Decimal("-Infinity")])
def test_other_value_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="column 'c' must hold a text, got "):
        text_of(value, "c")


@pytest.mark.parametrize("value", ["x\ud800" * 100_000, ["x" * 400_000], {"k" * 1000: "v" * 10**6}, b"x" * 10**6])
def test_error_is_short_however_large_the_value(value: object) -> None:
    with pytest.raises(DataError) as caught:
        text_of(value, "c")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        (["a", "b", "a"], ("a", "b")),
        ([7.0, NAN, None, "7", "b"], ("7", "b")),
        ((1, 2), ("1", "2")),
        ([], ()),
        ([NAN], ()),
    ],
)
def test_texts_are_each_once_without_gaps(value: object, want: tuple[str, ...]) -> None:
    assert texts_of(value, "c") == want


def test_list_of_lists_is_refused() -> None:
    with pytest.raises(DataError, match=r"must hold a text, got \['a'\]"):
        texts_of([["a"]], "c")


@pytest.mark.parametrize(("value", "want"), [(True, True), (False, False), (1, True), (0.0, False)])
def test_flag_is_also_a_number(value: object, want: bool) -> None:
    assert flag_of(value, "c") is want


@pytest.mark.parametrize("value", ["yes", 2, "true", []])
def test_flag_is_nothing_else(value: object) -> None:
    with pytest.raises(DataError, match="must be true, false or null"):
        flag_of(value, "c")
