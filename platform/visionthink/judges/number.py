r"""Numbers as people and models write them, in digits or in words, with exact values.

Rule: a form that can be read in two ways has two values, and none of them is taken for granted: "1.234" may be German
for 1234. A leading zero before another digit makes a code, which is no number. word2number was tried for the words; it
reads "five cats" as 5 and "one or two" as 3.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from visionthink.judges.text import words


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """What a text says, and where it ends."""

    value: Fraction | None
    """None when every reading is doubtful."""
    doubtful: Fraction | None = None
    """Another reading, under the other meaning of point or comma."""
    end: int


MAX_DIGITS: Final = 64
"""Longer rows of digits are a model that repeats itself; Python refuses to count thousands of them."""
_MAX_EXPONENT: Final = 99
_WHOLE: Final = r"(?:0|[1-9]\d{0,63})"
_DECIMAL: Final = (
    rf"(?:[1-9]\d{{0,2}}(?:[,' ]\d{{3}}){{1,20}}(?![,' ]?\d)(?:\.\d{{1,64}})?|{_WHOLE}?\.\d{{1,64}}|{_WHOLE}\.?)"
)
_END: Final = r"(?![\d]|[.,]\d)"
_MIXED: Final = re.compile(rf"({_WHOLE}) ([1-9]\d{{0,8}}) ?/ ?([1-9]\d{{0,8}}){_END}")
_MIXED_LATEX: Final = re.compile(
    r"([+-]? ?)((?:\d{1,12})?) ?\\frac ?(?:\{ ?(-?\d{1,12}) ?\} ?\{ ?(\d{1,12}) ?\}|(\d)(\d))"
)
_FRACTION: Final = re.compile(rf"({_WHOLE}(?:\.\d{{1,20}})?) ?/ ?({_WHOLE}(?:\.\d{{1,20}})?){_END}(?! ?/)")
_EURO: Final = re.compile(
    rf"([1-9]\d{{0,2}}(?:[. ]\d{{3}}){{1,20}}),(\d{{1,20}}){_END}|([1-9]\d{{0,2}}(?:\.\d{{3}}){{2,20}}){_END}"
)
_COMMA: Final = re.compile(rf"({_WHOLE}),(\d{{1,20}}){_END}")
_SCIENTIFIC: Final = re.compile(
    rf"({_DECIMAL})(?:[eE](-?[1-9]\d{{0,2}}|[+-]\d{{1,3}})| ?[×x·*] ?10 ?\^ ?\{{? ?([+-]?\d{{1,3}}) ?\}}?){_END}"  # noqa: RUF001
)
_POWER: Final = re.compile(rf"({_WHOLE}(?:\.\d{{1,20}})?) ?\^ ?(?:\{{ ?(-?\d{{1,2}}) ?\}}|(-?\d{{1,2}})){_END}")
_PLAIN: Final = re.compile(rf"({_DECIMAL}){_END}")
_DOUBTFUL_POINT: Final = re.compile(r"[1-9]\d{0,2}\.\d{3}$")
_DOUBTFUL_COMMA: Final = re.compile(r"[1-9]\d{0,2},\d{3}$")

_ONES: Final = {
    word: value
    for value, word in enumerate(
        words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        )
    )
}
_TENS: Final = {
    word: 10 * value for value, word in enumerate(words("twenty thirty forty fifty sixty seventy eighty ninety"), 2)
}
SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS: Final = {
    "half": 2,
    "halves": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
}
ORDINALS: Final = {
    word: value
    for value, word in enumerate(
        words("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"), 1
    )
}
_ANY_WORD: Final = re.compile(r"[a-z]+")
_MAX_WORDS: Final = 16


def read_number(text: str) -> Number | None:
    """The number that `text` begins with, without a sign; None when it begins with none."""
    if found := _MIXED_LATEX.match(text):
        return _latex(found)
    for pattern, value_of in _FORMS:
        if found := pattern.match(text):
            return value_of(found)
    return _in_words(text)


def _latex(found: re.Match[str]) -> Number | None:
    sign, whole, above, below, above_digit, below_digit = found.groups()
    above, below = above or above_digit, below or below_digit
    if int(below) == 0 or (whole and above.startswith("-")):
        return None
    value = int(whole or 0) + Fraction(int(above), int(below))
    return Number(value=-value if sign.strip() == "-" else value, end=found.end())


def _mixed(found: re.Match[str]) -> Number | None:
    whole, above, below = map(int, found.groups())
    return Number(value=whole + Fraction(above, below), end=found.end())


def _fraction(found: re.Match[str]) -> Number | None:
    above, below = map(Fraction, found.groups())
    return Number(value=above / below, end=found.end()) if below else None


def _scientific(found: re.Match[str]) -> Number | None:
    mantissa, exponent = _decimal(found.group(1)), int(found.group(2) or found.group(3))
    is_code = found.group(2) is not None and mantissa == 0
    if abs(exponent) > _MAX_EXPONENT or is_code:
        return None
    return Number(value=mantissa * Fraction(10) ** exponent, end=found.end())


def _power(found: re.Match[str]) -> Number | None:
    base, exponent = Fraction(found.group(1)), int(found.group(2) or found.group(3))
    return None if base == 0 and exponent <= 0 else Number(value=base**exponent, end=found.end())


def _euro(found: re.Match[str]) -> Number | None:
    whole, decimals, groups = found.groups()
    value = Fraction(f"{(whole or groups).replace('.', '').replace(' ', '')}.{decimals or '0'}")
    return Number(value=value, end=found.end())


def _plain(found: re.Match[str]) -> Number | None:
    text = found.group(1)
    other = None
    if _DOUBTFUL_POINT.match(text):
        other = Fraction(text.replace(".", ""))
    elif _DOUBTFUL_COMMA.match(text):
        other = Fraction(text.replace(",", "."))
    return Number(value=_decimal(text), doubtful=other, end=found.end())


def _comma(found: re.Match[str]) -> Number | None:
    whole, decimals = found.groups()
    value = Fraction(f"{whole}.{decimals}")
    return Number(value=value if whole == "0" else None, doubtful=value, end=found.end())


def _decimal(text: str) -> Fraction:
    return Fraction(re.sub(r"[,' ]", "", text).rstrip("."))


_FORMS: Final = (
    (_MIXED, _mixed),
    (_FRACTION, _fraction),
    (_SCIENTIFIC, _scientific),
    (_POWER, _power),
    (_EURO, _euro),
    (_PLAIN, _plain),
    (_COMMA, _comma),
)


def _in_words(text: str) -> Number | None:
    """A number in words, as far as the words go."""
    spans: list[tuple[str, int]] = []
    for found in _ANY_WORD.finditer(text[:200].casefold()):
        if text[spans[-1][1] if spans else 0 : found.start()] not in ("", " ", "-") or len(spans) == _MAX_WORDS:
            break
        spans.append((found.group(), found.end()))
    for count in range(len(spans), 0, -1):
        value = _spelled([word for word, _ in spans[:count]])
        if value is not None:
            return Number(value=value, end=spans[count - 1][1])
    return None


def _spelled(row: list[str]) -> Fraction | None:
    """The value of a row of words, all of them."""
    if row[:2] == ["half", "a"] and row[2:] and row[2] in SCALES:
        return Fraction(SCALES[row[2]], 2) if len(row) == 3 else None
    if row[-3:-1] == ["and", "a"] and row[:-3] and row[-1] in ("half", "quarter", "third"):
        whole = _whole(row[:-3])
        return None if whole is None else whole + Fraction(1, _PARTS[row[-1]])
    last = row[-1].removesuffix("s") if row[-1] != "halves" else row[-1]
    if last in _PARTS:
        above = Fraction(1) if row[:-1] in ([], ["a"], ["one"]) else _whole(row[:-1])
        is_bare = row[:-1] == [] and last != "half"
        return None if above is None or is_bare else above / _PARTS[last]
    if "point" in row:
        at = row.index("point")
        whole, digits = _whole(row[:at]), [_ONES.get(word, 99) for word in row[at + 1 :]]
        return (
            None if whole is None or max(digits, default=99) > 9 else whole + Fraction("0." + "".join(map(str, digits)))
        )
    return _whole(row)


def _whole(row: list[str]) -> Fraction | None:
    """A whole number in words: "one hundred and five thousand two"."""
    total, rest, top = 0, row, 10**15
    while rest:
        at = next((index for index, word in enumerate(rest) if word.removesuffix("s") in SCALES), None)
        part, scale = (rest, 1) if at is None else (rest[:at], SCALES[rest[at].removesuffix("s")])
        rest = [] if at is None else rest[at + 1 :]
        if part[:1] == ["and"] and total and scale == 1:
            part = part[1:]
        value = 1 if part == ["a"] and scale > 1 else _below_thousand(part)
        if value is None or scale >= top:
            return None
        total, top = total + value * scale, scale
    return Fraction(total) if row else None


def _below_thousand(row: list[str]) -> int | None:
    if "hundred" in row:
        at = row.index("hundred")
        head = 1 if row[:at] == ["a"] else _below_hundred(row[:at])
        tail = row[at + 1 :]
        tail = tail[1:] if tail[:1] == ["and"] else tail
        rest = _below_hundred(tail) if tail else 0
        return None if not head or rest is None or (row[-1] == "and") else head * 100 + rest
    return _below_hundred(row)


def _below_hundred(row: list[str]) -> int | None:
    match row:
        case [word] if word in _ONES:
            return _ONES[word]
        case [word] if word in _TENS:
            return _TENS[word]
        case [ten, one] if ten in _TENS and 0 < _ONES.get(one, 0) < 10:
            return _TENS[ten] + _ONES[one]
        case _:
            return None


_ROMAN: Final = re.compile(r"(?=.{2})M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})$", re.IGNORECASE)
_ROMAN_DIGITS: Final = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1000}


def read_roman(text: str) -> int | None:
    """The value of a Roman numeral of two letters or more."""
    if not _ROMAN.match(text):
        return None
    values = [_ROMAN_DIGITS[char] for char in text.casefold()]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))
