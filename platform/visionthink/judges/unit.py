"""Units of measurement and money: what a unit's spelling means, and how many of its base it is.

Rule: a spelling that is not listed is no unit, so a letter after a number ("46P") stays part of a code. Symbols keep
their case where case tells them apart (mW, MW). Factors are exact. A library such as pint knows more units than people
write (it reads "cats" as centi-technical-atmospheres), which a judge that must not be talked round cannot use.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

Dimensions = tuple[tuple[str, int], ...]
"""Base and power, sorted by base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One reading of a spelling."""

    dimensions: Dimensions = ()
    factor: Fraction = Fraction(1)
    """How many of the base."""


NO_UNIT: Final = Unit()
PERCENT: Final = "%"
DEGREE: Final = "deg"
CELSIUS: Final = "degC"
FAHRENHEIT: Final = "degF"
_PREFIX_SYMBOLS: Final = {
    "p": -12,
    "n": -9,
    "u": -6,
    "μ": -6,
    "m": -3,
    "c": -2,
    "d": -1,
    "h": 2,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "P": 15,
}
_PREFIX_NAMES: Final = {
    "pico": -12,
    "nano": -9,
    "micro": -6,
    "milli": -3,
    "centi": -2,
    "deci": -1,
    "hecto": 2,
    "kilo": 3,
    "mega": 6,
    "giga": 9,
    "tera": 12,
}
# base, factor, symbols, prefixes of the symbols, names (which take every prefix's name when the symbols take any)
_METRIC: Final = (
    ("m", "1", "m", "nuμmcdk", "meter metre"),
    ("g", "1", "g", "uμmk", "gram gramme"),
    ("s", "1", "s", "pnuμm", "second sec"),
    ("L", "1", "L l", "uμmcdh", "liter litre"),
    ("W", "1", "W", "mkMGT", "watt"),
    ("Wh", "1", "Wh", "kMGT", ""),
    ("V", "1", "V", "mkMuμ", "volt"),
    ("A", "1", "A", "mkuμn", "amp ampere"),
    ("Ω", "1", "Ω ohm", "kMm", "ohm"),
    ("F", "1", "F", "pnuμm", "farad"),
    ("Hz", "1", "Hz", "kMGT", "hertz"),
    ("J", "1", "J", "kMGm", "joule"),
    ("N", "1", "N", "kMm", "newton"),
    ("Pa", "1", "Pa", "hkMG", "pascal"),
    ("Pa", "100000", "bar", "m", "bar"),
    ("B", "1", "B", "kMGTP", "byte"),
    ("bit", "1", "b bit", "kMGT", "bit"),
    ("bit/s", "1", "bps", "kMG", ""),
    ("cal", "1", "cal", "k", "calorie"),
    ("eV", "1", "eV", "kMGm", "electronvolt"),
    ("mol", "1", "mol", "muμkn", "mole"),
    ("K", "1", "K", "", "kelvin"),
)
_PLAIN: Final = (
    ("m", "0.0254", 'in inch inches inchs "'),
    ("m", "0.3048", "ft foot feet '"),
    ("m", "0.9144", "yd yds yard"),
    ("m", "1609.344", "mi mile"),
    ("g", "1000000", "t tonne ton metric_ton"),
    ("g", "28.349523125", "oz ounce"),
    ("g", "453.59237", "lb lbs pound"),
    ("GBP", "1", "£ gbp pound quid pound_sterling"),
    ("m", "1000", "kms"),
    ("m", "0.01", "cms"),
    ("g", "1000", "kgs"),
    ("s", "60", "min mins minute"),
    ("s", "3600", "h hr hrs hour"),
    ("s", "86400", "d day"),
    ("s", "604800", "wk wks week"),
    ("month", "1", "mo mos month"),
    ("month", "12", "y yr yrs year years_old year_old"),
    ("month", "120", "decade"),
    ("L", "3.785411784", "gal gallon"),
    ("m2", "10000", "ha hectare"),
    ("m2", "4046.8564224", "ac acre"),
    ("Pa", "6894.757293168", "psi"),
    ("Pa", "101325", "atm"),
    ("mmHg", "1", "mmHg"),
    ("dB", "1", "dB decibel"),
    ("px", "1", "px pixel"),
    ("dpi", "1", "dpi"),
    ("rpm", "1", "rpm"),
    ("Nm", "1", "Nm N_m N·m N-m newton_meter newton_metre"),
    ("ppm", "1", "ppm"),
    ("hp", "1", "hp horsepower"),
    (PERCENT, "1", "% percent pct per_cent"),
    (DEGREE, "1", "° deg degree"),
    ("rad", "1", "rad radian"),
    (CELSIUS, "1", "°C °_C C celsius degree_C degree_celsius degrees_C degrees_celsius deg_C centigrade"),
    (FAHRENHEIT, "1", "°F °_F F fahrenheit degree_F degree_fahrenheit degrees_F degrees_fahrenheit deg_F"),
    ("USD", "1", "$ US$ usd dollar us_dollar u.s._dollar buck"),
    ("USD", "0.01", "¢ cent"),
    ("AUD", "1", "A$ AU$ aud australian_dollar"),
    ("CAD", "1", "C$ CA$ cad canadian_dollar"),
    ("HKD", "1", "HK$ hkd"),
    ("SGD", "1", "S$ sgd"),
    ("EUR", "1", "€ eur euro"),
    ("EUR", "0.01", "cent"),
    ("GBP", "0.01", "pence"),
    ("JPY", "1", "¥ jpy yen"),
    ("CNY", "1", "¥ RMB cny yuan"),
    ("INR", "1", "₹ Rs Rs. inr rupee"),
    ("KRW", "1", "₩ krw won"),
    ("RUB", "1", "₽ rub ruble rouble"),
    ("CHF", "1", "CHF franc"),
    ("SEK", "1", "SEK"),
    ("NOK", "1", "NOK"),
    ("BRL", "1", "R$ brl"),
)
CURRENCIES: Final = frozenset(
    ("USD", "AUD", "CAD", "HKD", "SGD", "EUR", "GBP", "JPY", "CNY", "INR", "KRW", "RUB", "CHF", "SEK", "NOK", "BRL")
)
_SPEED: Final = (
    ("mph", "0.44704"),
    ("kmh", "5/18"),
    ("kph", "5/18"),
    ("kmph", "5/18"),
    ("mps", "1"),
    ("fps", "0.3048"),
)
_LENGTH: Final = (("m", 1),)
_POWER: Final = re.compile(r"\^?\{?(-?[1-4])\}?$")
_POWER_WORDS: Final = {"sq": 2, "sq.": 2, "square": 2, "cubic": 3, "cu": 3, "cu.": 3}
_POWER_TAILS: Final = {"squared": 2, "cubed": 3}
_PART: Final = re.compile(r"\s?(/|·|\bper\b|\*)\s?")
_MAX_CHARS: Final = 40


def _listed() -> dict[str, tuple[Unit, ...]]:
    """Every spelling with its readings; a blank within a spelling is a blank."""
    table: dict[str, tuple[Unit, ...]] = {}

    def add(spelling: str, dimensions: Dimensions, factor: Fraction) -> None:
        unit = Unit(dimensions=dimensions, factor=factor)
        readings = table.get(spelling, ())
        table[spelling] = readings if unit in readings else (*readings, unit)

    for base, factor, symbols, prefixes, names in _METRIC:
        for symbol in symbols.split():
            add(symbol, ((base, 1),), Fraction(factor))
            for prefix in prefixes:
                add(prefix + symbol, ((base, 1),), Fraction(factor) * Fraction(10) ** _PREFIX_SYMBOLS[prefix])
        for name in names.split():
            for text in (name, name + "s"):
                add(text, ((base, 1),), Fraction(factor))
                for prefix, power in _PREFIX_NAMES.items():
                    add(prefix + text, ((base, 1),), Fraction(factor) * Fraction(10) ** power)
    for base, factor, spellings in _PLAIN:
        for spelling in spellings.split():
            text = spelling.replace("_", " ")
            dimensions: Dimensions = (("m", 2),) if base == "m2" else ((base, 1),)
            add(text, dimensions, Fraction(factor))
            if len(text) > 2 and text.isascii() and text[-1].isalpha() and text[-1] != "s":
                add(text + "s", dimensions, Fraction(factor))
    for text, factor in _SPEED:
        add(text, (("m", 1), ("s", -1)), Fraction(factor))
    for text in ("KB", "Kb"):
        table[text] = table["kB" if text == "KB" else "kb"]
    return table


def _in_one_case(listed: dict[str, tuple[Unit, ...]]) -> dict[str, tuple[Unit, ...]]:
    """Spellings in lower case, without those that case tells apart."""
    found: dict[str, tuple[Unit, ...]] = {}
    for spelling, units in listed.items():
        low = spelling.casefold()
        found[low] = units if found.get(low, units) == units else ()
    return found


_SPELLINGS: Final = _listed()
_LOW: Final = _in_one_case(_SPELLINGS)


@lru_cache(maxsize=4096)
def read_unit(text: str) -> tuple[Unit, ...]:
    """The readings of a unit such as "km/h", "sq ft" or "dollars"; empty when it is none."""
    text = text.strip()
    if not 0 < len(text) <= _MAX_CHARS:
        return ()
    if direct := _single(text):
        return direct
    found = _read_parts(_PART.split(text))
    return found or (_read_parts(_PART.split(text.replace(" ", "·"))) if " " in text else ())


def _read_parts(parts: list[str]) -> tuple[Unit, ...]:
    """The product and quotient of the units at even places, which the signs between them join."""
    readings = [Unit()] if parts[0] else []
    sign = 1
    for index, part in enumerate(parts):
        if index % 2:
            sign = -1 if part in ("/", "per") else sign
            continue
        powers = _powered(part, sign) if part or index else ()
        readings = [_product(left, right) for left in readings for right in powers]
    return tuple(readings)


def _powered(part: str, sign: int) -> tuple[Unit, ...]:
    """One factor of a unit, with its power."""
    part, power = part.strip(), 1
    if direct := _single(part):
        return tuple(_raised(unit, sign) for unit in direct)
    head, _, tail = part.partition(" ")
    if head.casefold() in _POWER_WORDS and tail:
        part, power = tail, _POWER_WORDS[head.casefold()]
    elif (last := part.rsplit(" ", 1))[-1] in _POWER_TAILS and len(last) == 2:
        part, power = last[0], _POWER_TAILS[last[1]]
    elif found := _POWER.search(part):
        is_marked = "^" in found.group()
        part, power = part[: found.start()].strip(), int(found.group(1))
        if not is_marked and (power < 2 or any(unit.dimensions != _LENGTH for unit in _single(part))):
            return ()
    return tuple(_raised(unit, sign * power) for unit in _single(part))


def _single(text: str) -> tuple[Unit, ...]:
    if text in _SPELLINGS:
        return _SPELLINGS[text]
    return _LOW.get(text.casefold(), ()) if len(text) > 1 else ()


def _raised(unit: Unit, power: int) -> Unit:
    return Unit(dimensions=tuple((base, each * power) for base, each in unit.dimensions), factor=unit.factor**power)


def _product(left: Unit, right: Unit) -> Unit:
    powers = dict(left.dimensions)
    for base, power in right.dimensions:
        powers[base] = powers.get(base, 0) + power
    dimensions = tuple(sorted((base, power) for base, power in powers.items() if power))
    return Unit(dimensions=dimensions, factor=left.factor * right.factor)
