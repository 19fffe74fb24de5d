"""Dates and times of day, told from fractions, ratios and codes.

Rule: the same day in another form is the same day, and a form that can be two days ("1/2/2020") is told from neither.
A general reader of dates guesses what it is not told, "10" as a day of this month, say; so the forms are closed here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from visionthink.judges.text import words
from visionthink.judges.told import Told, told

_MONTHS: Final = words("january february march april may june july august september october november december")
_MONTH: Final = {name[:length]: number for number, name in enumerate(_MONTHS, 1) for length in (3, 4, len(name))}
_DAY: Final = r"(\d{1,2})(?:[snr][tdh]|th)?"
_NAMED: Final = (
    (re.compile(rf"([a-z]{{3,9}})\.? {_DAY}(?:,? (\d{{4}}))?$"), "mdy"),
    (re.compile(rf"{_DAY}[ -](?:of )?([a-z]{{3,9}})\.?(?:,?[ -](\d{{4}}))?$"), "dmy"),
    (re.compile(r"(\d{4})[ -]([a-z]{3,9})\.?[ -](\d{1,2})$"), "ymd"),
    (re.compile(r"([a-z]{3,9})\.?,? (\d{4})$"), "my"),
)
_ISO: Final = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})$")
_YEAR_LAST: Final = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})$")
_NO_YEAR: Final = re.compile(r"(\d{1,2})/(\d{1,2})$")
_SHORT_YEAR: Final = re.compile(r"'\d\d$")
_YEAR: Final = re.compile(r"[12]\d{3}$")
_WEEKDAY: Final = re.compile(r"(?:mon|tue|tues|wed|wednes|thu(?:r|rs)?|fri|sat|satur|sun)(?:day)?\.?,? (?=.*\d)")
_ASKS_DATE: Final = re.compile(r"\b(?:date|dated|day|when|month|birthday|deadline)\b", re.IGNORECASE)
_TIME: Final = re.compile(r"(\d{1,2})(?:[:.](\d\d))?(?::(\d\d))? ?(?:(am|pm|a\.m\.?|p\.m\.?)|(o'?clock)|h(?:rs?)?)?$")
_MAX_CHARS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Date:
    """The days that a text may mean, as (year, month, day) with 0 for what is not said."""

    days: frozenset[tuple[int, int, int]]
    digits: tuple[int, ...] = ()
    """The numbers in their order, when no month is named; two such dates are compared as they stand."""


def read_date(text: str) -> Date | None:
    """The date that `text` is, all of it."""
    if len(text) > _MAX_CHARS:
        return None
    text = text.casefold().strip()
    text = _WEEKDAY.sub("", text, count=1) if _WEEKDAY.match(text) else text
    for pattern, order in _NAMED:
        if found := pattern.match(text):
            parts = dict(zip(order, found.groups(), strict=True))
            month = _MONTH.get(parts["m"], 0)
            year, day = int(parts.get("y") or 0), int(parts.get("d") or 0)
            return Date(days=frozenset({(year, month, day)})) if month and day <= 31 else None
    return _in_digits(text)


def _in_digits(text: str) -> Date | None:
    if found := _ISO.match(text):
        year, _, month, day = found.groups()
        return _date([(int(year), int(month), int(day))], order=())
    if found := _YEAR_LAST.match(text):
        first, _, second, year = found.groups()
        years = [int(year)] if len(year) == 4 else [1900 + int(year), 2000 + int(year)]
        numbers = int(first), int(second), int(year)
        return _date([day for each in years for day in _either(each, *numbers[:2])], order=numbers)
    if found := _NO_YEAR.match(text):
        return _date(list(_either(0, int(found.group(1)), int(found.group(2)))), order=tuple(map(int, found.groups())))
    return None


def _either(year: int, first: int, second: int) -> Iterator[tuple[int, int, int]]:
    yield year, first, second
    yield year, second, first


def _date(days: list[tuple[int, int, int]], *, order: tuple[int, ...]) -> Date | None:
    real = frozenset(day for day in days if 1 <= day[1] <= 12 and 1 <= day[2] <= 31)
    return Date(days=real, digits=order) if real else None


def same_date(left: str, right: str, question: str) -> Told | None:
    """Whether two texts are the same day; None when that is not what they are about."""
    one, other = read_date(left), read_date(right)
    years = sorted((left, right), key=len)
    if _SHORT_YEAR.match(years[0]) and _YEAR.match(years[1]):
        return Told.UNTOLD if years[0][-2:] == years[1][-2:] else Told.WRONG
    if one is None or other is None:
        return _date_and_other(one or other, question)
    if len(one.digits) == len(other.digits) == 2 and not _ASKS_DATE.search(question):
        return None
    if one.digits and other.digits and len(one.digits) == len(other.digits):
        return Told.UNTOLD if _is_short_year(one, other) else told(one.digits == other.digits)
    if one.days == other.days and len(one.days) == 1:
        return Told.RIGHT
    return Told.UNTOLD if one.days & other.days else Told.WRONG


def _is_short_year(one: Date, other: Date) -> bool:
    """Whether they differ only in that one writes two digits of the year."""
    years = one.digits[-1], other.digits[-1]
    return min(years) < 100 <= max(years) and bool(one.days & other.days)


def _date_and_other(date: Date | None, question: str) -> Told | None:
    """A date is no fraction: 1/2/2020 never, 1/2 not where a date is asked for."""
    is_maybe = date is None or len(date.digits) == 2
    return None if is_maybe and not _ASKS_DATE.search(question) else (None if date is None else Told.WRONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """A time of day."""

    seconds: int
    """Since midnight, or since noon where the half of the day is not said."""
    is_half_known: bool


def read_time(text: str) -> Time | None:
    """The time of day that `text` is, all of it; a bare number is none."""
    found = _TIME.match(text.casefold().strip()) if len(text) <= _MAX_CHARS else None
    if found is None or not (found.group(2) or found.group(4) or found.group(5)):
        return None
    hour, minute, second = (int(found.group(index) or 0) for index in (1, 2, 3))
    half = (found.group(4) or "")[:1]
    if hour > 24 or minute > 59 or second > 59 or ("." in text and not half and found.group(2)):
        return None
    hour = hour % 12 + (12 if half == "p" else 0) if half else hour
    return Time(seconds=hour * 3600 + minute * 60 + second, is_half_known=bool(half) or hour > 12 or hour == 0)


def same_time(left: str, right: str) -> Told | None:
    """Whether two texts are the same time of day; None when they are not both times."""
    one, other = read_time(left), read_time(right)
    if one is None or other is None:
        return None
    if one.seconds == other.seconds:
        return Told.RIGHT if one.is_half_known == other.is_half_known else Told.UNTOLD
    is_told = one.is_half_known and other.is_half_known
    return Told.UNTOLD if not is_told and (one.seconds - other.seconds) % (12 * 3600) == 0 else Told.WRONG
