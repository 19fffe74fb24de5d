"""A number with its sign, magnitude, money and unit, and whether two of them say the same.

Rule: everything that is written counts. A magnitude is part of the value ("5 million" is not 5), a unit that is known
may be missing on one side but never be another one, and what is no known unit is a thing that was counted. A single
letter that touches the number ("46V") may be a code, so it is never overlooked.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Final

from visionthink.judges.number import SCALES, read_number
from visionthink.judges.text import stem, stems, words
from visionthink.judges.told import Told, told
from visionthink.judges.unit import CELSIUS, CURRENCIES, DEGREE, FAHRENHEIT, NO_UNIT, PERCENT, Unit, read_unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One reading of a text."""

    value: Fraction | None
    """In the unit as written; None when only a doubtful reading of the digits is left."""
    doubtful: Fraction | None = None
    unit: Unit = NO_UNIT
    unit_text: str = ""
    """As written, with the blank before it when there was one; empty without a unit."""
    noun: str = ""
    """What was counted, when it is no unit."""
    mark: str = ""
    """The magnitude that touches a whole number ("46M"), which may be a code; empty for any other."""


MAX_CHARS: Final = 90
_ONE: Final = Fraction(1)
_HUNDREDTH: Final = Fraction(1, 100)
_ABOUT: Final = re.compile(
    r"(?:(?:about|approximately|approx\.?|around|roughly|circa|ca\.|exactly|only|just|equals?|a total of|total of)\s"
    r"|[~≈=])\s?",
    re.IGNORECASE,
)
_SIGN: Final = re.compile(r"(?:([+-]|minus\b|negative\b) ?)?", re.IGNORECASE)
_MONEY: Final = re.compile(r"((?:[A-Z]{1,2})?\$|[€£¥₹₩₽]|R\$|Rs\.?(?= ?\d)|[A-Z]{3}(?=[ \d-]))? ?")
_LETTERS: Final = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_SHORT: Final = {
    "mn": 10**6,
    "mln": 10**6,
    "mio": 10**6,
    "mil": 10**6,
    "bn": 10**9,
    "tn": 10**12,
    "lakh": 10**5,
    "crore": 10**7,
    "dozen": 12,
}
_WITH_MONEY: Final = {"m": 10**6, "b": 10**9, "t": 10**12, "mm": 10**6}
_MAGNITUDE: Final = re.compile(r" ?([A-Za-z]+)(?![A-Za-z])\.?(.*)$", re.DOTALL)
_NOUN: Final = re.compile(r" ([^\W\d_]{3,20}(?: [^\W\d_]{2,20}){0,3})$")
_EXTENT: Final = re.compile(r" (?:long|wide|tall|high|deep|thick|in total|or so|in all|altogether)$", re.IGNORECASE)
_PLACE: Final = frozenset(words("in on at of near inside from within under above behind along over by"))
_MEASURES: Final = re.compile(
    r"\b(?:how (?:long|far|tall|high|wide|deep|much|heavy|fast|big|large|old|hot|cold|thick)|length|distance|height|"
    r"width|depth|area|perimeter|mass|weigh\w*|weight|time|speed|volume|radius|diameter|side|find|value|quantity|amount|size|measure\w*|"
    r"temperature|voltage|current|power|energy|force|pressure|capacity|duration|units?)\b",
    re.IGNORECASE,
)
_TOUCHING: Final = frozenset({"'", '"', "h", "m", "min", "s"})
"""Units that the next number may touch: 5'10", 1h30min."""
_SEGMENT: Final = re.compile(r"(?:, ?| and | )?")
_NO_NOUN: Final = frozenset(words("and or to but not plus minus times than nor versus"))
_SCALE_OF_QUESTION: Final = re.compile(
    r"\bin (?:\w{1,12} )?(thousand|million|billion|trillion)s?\b|\b(?:how many|\() ?(thousand|million|billion)s\b"
)


@lru_cache(maxsize=4096)
def read_quantities(text: str) -> tuple[Quantity, ...]:
    """Every reading of `text` as one quantity, all of it; empty when it is something else."""
    if len(text) > MAX_CHARS:
        return ()
    text = text[found.end() :] if (found := _ABOUT.match(text)) else text
    return _single(text.strip()) or _compound(text.strip())


def _single(text: str) -> tuple[Quantity, ...]:
    """One number with what stands before and after it."""
    first = _SIGN.match(text)
    money = _MONEY.match(text, first.end() if first else 0)
    if first is None or money is None:
        return ()
    second = _SIGN.match(text, money.end())
    before = read_unit(money.group(1)) if money.group(1) else ()
    if second is None or (money.group(1) and not _is_money(before)) or (first.group(1) and second.group(1)):
        return ()
    found = read_number(text[second.end() :])
    if found is None:
        return ()
    sign = -1 if (first.group(1) or second.group(1) or "+").casefold() in ("-", "minus", "negative") else 1
    start = Quantity(value=_times(found.value, sign), doubtful=_times(found.doubtful, sign))
    rest = _EXTENT.sub("", text[second.end() + found.end :].rstrip())
    rest = re.sub(r"^-(?=[A-Za-z]{2})", " ", rest)
    return tuple(_completed(start, rest, before, money.group(1) or ""))


def _completed(start: Quantity, rest: str, before: tuple[Unit, ...], before_text: str) -> list[Quantity]:
    """The readings of what follows the number, as magnitude, unit or thing."""
    found = []
    for scale, after in _scales(rest, has_money=bool(before)):
        units = read_unit(after) if after.strip() else ()
        scaled = replace(start, value=_times(start.value, scale), doubtful=_times(start.doubtful, scale))
        if scale > 1 and not before and rest[0] != " " and start.value is not None and start.value.denominator == 1:
            scaled = replace(scaled, mark=rest.casefold().strip())
        if not after.strip():
            found += [_settled(replace(scaled, unit=unit, unit_text=" " + before_text)) for unit in before]
            found += [] if before else [scaled]
        elif units:
            both = [unit for unit in units if not before or unit.dimensions in {each.dimensions for each in before}]
            found += [_settled(replace(scaled, unit=unit, unit_text=after)) for unit in both]
        elif not before and (noun := _NOUN.match(after)) and not set(words(after)) & _NO_NOUN:
            found.append(replace(scaled, noun=noun.group(1).casefold()))
    return found


def _settled(quantity: Quantity) -> Quantity:
    """With a unit behind it a comma is a decimal comma: "1,50 km"."""
    return replace(quantity, value=quantity.doubtful, doubtful=None) if quantity.value is None else quantity


def _scales(rest: str, *, has_money: bool) -> list[tuple[int, str]]:
    """The magnitudes that `rest` may begin with, each with what is left; 1 when the whole is no magnitude."""
    found = [(1, rest)]
    if match := _MAGNITUDE.match(rest):
        word, after = match.groups()
        low = word.casefold()
        scale = SCALES.get(low.removesuffix("s")) or _SHORT.get(low) or (100 if low == "hundred" else None)
        is_money = has_money or (after.strip() and _is_money(read_unit(after)))
        scale = scale or _LETTERS.get(word) or (_WITH_MONEY.get(low) if is_money else None)
        if scale is not None:
            found = [*([] if len(word) > 1 else found), (scale, after)]
    return found


def _is_money(units: tuple[Unit, ...]) -> bool:
    return any(unit.dimensions and unit.dimensions[0][0] in CURRENCIES for unit in units)


def _compound(text: str) -> tuple[Quantity, ...]:
    """Several units of one kind, each smaller than the one before: "5 ft 10 in", "1 hour and 30 minutes"."""
    total, last, at = Fraction(0), None, 0
    for _ in range(4):
        number = read_number(text[at:])
        if number is None or number.value is None:
            return ()
        at += number.end
        found = re.match(r" ?([A-Za-z]{1,12}|['\"])\.?", text[at:])
        units = [unit for unit in read_unit(found.group(1)) if unit.dimensions] if found else []
        if found is None or len(units) != 1 or (last and _is_no_part(units[0], last)):
            return ()
        last, total, at = units[0], total + number.value * units[0].factor, at + found.end()
        if at >= len(text):
            unit = Unit(dimensions=last.dimensions)
            return (Quantity(value=total, unit=unit, unit_text=" compound"),)
        gap = _SEGMENT.match(text, at)
        if gap is None or (not gap.group() and found.group(1) not in _TOUCHING):
            return ()
        at = gap.end()
    return ()


def _is_no_part(unit: Unit, whole: Unit) -> bool:
    return unit.dimensions != whole.dimensions or unit.factor >= whole.factor


def _times(value: Fraction | None, factor: int) -> Fraction | None:
    return None if value is None else value * factor


def same_quantity(left: tuple[Quantity, ...], right: tuple[Quantity, ...], question: str) -> Told:
    """Whether two texts mean the same, under any of their readings."""
    found = {_same(one, other, question) for one in left for other in right}
    return next((each for each in (Told.RIGHT, Told.UNTOLD) if each in found), Told.WRONG)


def _same(answer: Quantity, got: Quantity, question: str) -> Told:
    if answer.noun or got.noun:
        return _same_count(answer, got, question)
    if answer.unit.dimensions == got.unit.dimensions:
        return _same_kind(answer, got, question)
    if answer.unit_text and got.unit_text:
        kinds = {answer.unit.dimensions, got.unit.dimensions}
        if kinds == {((CELSIUS, 1),), ((FAHRENHEIT, 1),)}:
            return _same_temperature(answer, got)
        is_degree = ((DEGREE, 1),) in kinds and kinds & {((CELSIUS, 1),), ((FAHRENHEIT, 1),)}
        return _same_value(answer, got) if is_degree else Told.WRONG
    return _same_without_unit(answer, got, question)


def _same_kind(answer: Quantity, got: Quantity, question: str) -> Told:
    """Both have a unit of one kind, or none."""
    found = _same_value(answer, got, answer.unit.factor, got.unit.factor)
    if found is Told.RIGHT and answer.value == 0 and (answer.unit.factor, answer.mark) != (got.unit.factor, got.mark):
        return Told.UNTOLD  # nothing is nothing in every unit, but "0B" and "0KB" are two codes
    if found is Told.RIGHT and answer.mark and got.mark and answer.mark != got.mark:
        return Told.WRONG  # "46M" and "46MN"
    if found is Told.WRONG and not answer.unit.dimensions and (scale := _scale_of(question)):
        is_scaled = Told.RIGHT in (_same_value(answer, got, scale), _same_value(answer, got, _ONE, scale))
        return told(is_scaled)
    return found


def _same_temperature(answer: Quantity, got: Quantity) -> Told:
    celsius, fahrenheit = (answer, got) if answer.unit.dimensions == ((CELSIUS, 1),) else (got, answer)
    if celsius.value is None or fahrenheit.value is None:
        return Told.UNTOLD
    return told(celsius.value * Fraction(9, 5) + 32 == fahrenheit.value)


def _same_without_unit(answer: Quantity, got: Quantity, question: str) -> Told:
    """One side names a unit, the other none."""
    named = answer if answer.unit_text else got
    is_percent = named.unit.dimensions == ((PERCENT, 1),)
    found = _same_value(answer, got)
    if found is Told.WRONG or answer.mark != got.mark:
        factors = (_HUNDREDTH, _ONE) if named is answer else (_ONE, _HUNDREDTH)
        return Told.UNTOLD if is_percent and _same_value(answer, got, *factors) is Told.RIGHT else Told.WRONG
    is_part = named.value is not None and -1 < named.value < 1
    if is_percent and found is Told.RIGHT and is_part and named.unit not in _asked(question):
        return Told.UNTOLD  # 0.5 may be 50%
    text = named.unit_text
    if len(text) == 1 and text.isalpha():
        return Told.WRONG
    if len(text) == 2 and text[1].isalpha() and text[0] == " ":
        if named.unit in _asked(question):
            return found
        return _same_with_letter(found, text[1], question, is_added=named is got)
    if text == " in" and named is got and not _MEASURES.search(question):
        return Told.WRONG  # "95 in" may be the beginning of a sentence
    is_otherwise = named is got and _asks_otherwise(got.unit, question, is_percent=is_percent)
    return Told.WRONG if is_otherwise else found


def _same_with_letter(found: Told, letter: str, question: str, *, is_added: bool) -> Told:
    """A single letter after a blank is a unit where the question measures, and may be part of a code elsewhere."""
    if _MEASURES.search(question) and (letter not in _LETTERS or "temperature" in question.casefold()):
        return found
    return Told.WRONG if letter.isupper() and (is_added or letter in _LETTERS) else Told.UNTOLD


def _asks_otherwise(unit: Unit, question: str, *, is_percent: bool) -> bool:
    """Whether the question names another unit of this kind, or counts things where `unit` is a percentage."""
    asked = _asked(question)
    if is_percent:
        return "how many" in question.casefold() and not any(each.dimensions == unit.dimensions for each in asked)
    alike = [each for each in asked if each.dimensions == unit.dimensions]
    return bool(alike) and unit not in alike


@lru_cache(maxsize=256)
def _asked(question: str) -> tuple[Unit, ...]:
    """The units that a question names."""
    return tuple(each for word in words(question) if len(word) > 1 and word != "in" for each in read_unit(word))


def _same_count(answer: Quantity, got: Quantity, question: str) -> Told:
    """Things that were counted; a thing that the question names need not be named again."""
    known = stems(question)

    def thing(quantity: Quantity) -> set[str]:
        return {stem(word) for word in words(quantity.noun)} - known

    found = _same_value(answer, got)
    if found is Told.WRONG or answer.unit_text or got.unit_text:
        return Told.WRONG
    if thing(answer) == thing(got):
        return found
    is_place = bool(_PLACE & set(words(got.noun))) and stem(words(got.noun)[0]) in known
    return Told.WRONG if got.noun and not is_place else Told.UNTOLD


def _same_value(one: Quantity, other: Quantity, factor: Fraction = _ONE, other_factor: Fraction = _ONE) -> Told:
    if one.value is not None and other.value is not None and one.value * factor == other.value * other_factor:
        return Told.RIGHT
    lefts = {value * factor for value in (one.value, one.doubtful) if value is not None}
    rights = {value * other_factor for value in (other.value, other.doubtful) if value is not None}
    return Told.UNTOLD if lefts & rights else Told.WRONG


def _scale_of(question: str) -> Fraction | None:
    found = _SCALE_OF_QUESTION.search(question.casefold())
    return Fraction(SCALES[found.group(1) or found.group(2)]) if found else None
