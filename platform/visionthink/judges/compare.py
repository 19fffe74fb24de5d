"""Whether two short texts mean the same: as dates, times, ranges, quantities, formulas, lists or words.

Rule: each kind is compared as what it is, and the first kind that both texts are decides. What is equal in no kind is
wrong, unless a person would have to think about it: a date that can be two, a decimal comma, a rounded root.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from visionthink.judges.expression import Value, is_formula, is_rounding, same_values, values
from visionthink.judges.moment import read_date, read_time, same_date, same_time
from visionthink.judges.number import ORDINALS, read_number, read_roman
from visionthink.judges.quantity import Quantity, read_quantities, same_quantity
from visionthink.judges.statement import assigned
from visionthink.judges.text import folded, stems, trimmed, words
from visionthink.judges.told import Told, told
from visionthink.judges.unit import read_unit

_RANGE: Final = re.compile(r"(?:(?:from|between) )?(\S.{0,30}?) ?(?:-|~|\bto\b|\band\b) ?(\S.{0,30})$", re.IGNORECASE)
_BETWEEN: Final = re.compile(r"between\b", re.IGNORECASE)
_RATIO: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)((?: ?: ?\d{1,12}(?:\.\d{1,6})?){1,5})$")
_RATIO_WORDS: Final = re.compile(r"(\d{1,12})(?: to |-to-)(\d{1,12})$", re.IGNORECASE)
_BY: Final = re.compile(r"(?<=[\w'\")]) ?(?:[x×*]|\bby\b) ?(?=\d)", re.IGNORECASE)  # noqa: RUF001
_MAX_SHORT: Final = 80
_SEPARATOR: Final = re.compile(r"\s*(?:,\s*and\b|[,;\n]|\band\b|&)\s*", re.IGNORECASE)
_BRACKETED: Final = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]$")
_MAX_ITEMS: Final = 40
_OR: Final = re.compile(r"\bor\b|\beither\b", re.IGNORECASE)
_UNIT_TAIL: Final = re.compile(r"(.*[\d}πi)])(?: ((?:sq |square |cubic )?[A-Za-zμΩ%][A-Za-z/]*(?:\^?[23])?)|°)$")
_LETTER: Final = re.compile(r"(?<![\w'])[A-Za-z](?![\w'])")
_BOUND: Final = re.compile(
    r"(?:is |are )?(?:(>=|=>|≥|at least|no (?:less|fewer) than|minimum of)"
    r"|(<=|=<|≤|at most|up to|no more than|maximum of)"
    r"|(>|more than|greater than|over|above)|(<|less than|fewer than|under|below)"
    r"|(±|plus or minus)|(≠|!=|not equal to)) ?"
    r"(?=[\d.$€£¥+-]|[a-z]{3,9}(?: |$))",
    re.IGNORECASE,
)
_RELATION: Final = re.compile(r"[≠<>≤≥±]|!=")
_MAX_SPELLED: Final = 300
_PHONE: Final = 7  # digits
_NONE: Final = frozenset({"none", "no", "nothing", "not any", "no one", "nobody"})


def same(answer: str, got: str, question: str) -> Told:
    """Whether two plain texts without wrapping or sentence mean the same."""
    answer, got = trimmed(answer), trimmed(got)
    if not answer or not got:
        return Told.WRONG
    if answer == got:
        return Told.RIGHT
    for rule in _RULES:
        found = rule(answer, got, question)
        if found is not None:
            return found
    return _same_text(answer, got)


def _bound(answer: str, got: str, question: str) -> Told | None:
    """Bounds: "at least 5" is neither 5 nor "more than 5"."""
    want, have = _BOUND.match(answer), _BOUND.match(got)
    if not want and not have:
        is_other = set(_RELATION.findall(answer)) != set(_RELATION.findall(got))
        return Told.WRONG if is_other and (_is_number_like(answer) or _is_number_like(got)) else None
    if want and have and want.lastindex == have.lastindex:
        return same(answer[want.end() :], got[have.end() :], question)
    bare = answer[want.end() :] if want else got[have.end() :] if have else ""
    return Told.WRONG if _is_number_like(bare) else None


def _moment(answer: str, got: str, question: str) -> Told | None:
    return same_date(answer, got, question) or same_time(answer, got)


def _range(answer: str, got: str, question: str) -> Told | None:
    want, have = _ends(answer), _ends(got)
    if want is None and have is None:
        return None
    if want is None or have is None:
        return Told.WRONG if _is_number_like(got if want else answer) else None
    return _all([same_quantity(one, other, question) for one, other in zip(want, have, strict=True)])


def _ends(text: str) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]] | None:
    """Both ends of a range such as "5-10", "5 to 10 km" or "from 5 to 10"."""
    found = _RANGE.match(text) if len(text) <= _MAX_SHORT and not read_quantities(text) else None
    if found is None or (" and " in text and not _BETWEEN.match(text)):
        return None
    low, high = found.groups()
    ends = read_quantities(low), read_quantities(high)
    if not ends[0] or not ends[1] or any(each.noun for each in ends[0]):
        return None
    if all(not each.unit_text for each in ends[0]) and (number := read_number(high.lstrip("$€£¥ "))):
        unit = high.lstrip("$€£¥ ")[number.end :]
        ends = read_quantities(low + unit) or ends[0], ends[1]
    return ends


def _ratio(answer: str, got: str, question: str) -> Told | None:
    asks_ratio = "ratio" in question.casefold() or "proportion" in question.casefold()
    want, have = _parts(answer, asks_ratio=asks_ratio), _parts(got, asks_ratio=asks_ratio)
    if want is None and have is None:
        return None
    if want is not None and have is not None:
        is_equal = [part.lstrip("0") for part in want] == [part.lstrip("0") for part in have]
        is_time = all(len(parts) == 2 and len(parts[1]) == 2 for parts in (want, have))
        return told(want == have or (is_equal and is_time and want[1] == have[1]))
    if not _is_number_like(got if want else answer):
        return None
    return Told.UNTOLD if asks_ratio and "/" in answer + got else Told.WRONG


def _parts(text: str, *, asks_ratio: bool) -> list[str] | None:
    if len(text) > _MAX_SHORT:
        return None
    if asks_ratio and (found := _RATIO_WORDS.match(text)):
        return list(found.groups())
    return [part.strip() for part in text.split(":")] if _RATIO.match(text) else None


def _sides(answer: str, got: str, question: str) -> Told | None:
    """Sizes such as "7 x 5" or "1920x1080 px"."""
    want, have = _lengths(answer), _lengths(got)
    if want is None and have is None:
        return None
    if want is None or have is None:
        return Told.WRONG if _is_number_like(got if want else answer) else None
    if len(want) != len(have):
        return Told.WRONG
    return _all([same_quantity(one, other, question) for one, other in zip(want, have, strict=True)])


def _lengths(text: str) -> list[tuple[Quantity, ...]] | None:
    if len(text) > _MAX_SHORT or read_quantities(text):
        return None
    parts = _BY.split(text)
    sides = [read_quantities(part) for part in parts]
    return (
        sides if 2 <= len(parts) <= 4 and all(sides) and not any(each.noun for side in sides for each in side) else None
    )


def _number(answer: str, got: str, question: str) -> Told | None:
    want, have = _quantity(answer, question), _quantity(got, question)
    if want and have and (names := _names(answer, got, question)):
        return names
    if want and have:
        found = same_quantity(want, have, question)
        return Told.UNTOLD if found is Told.WRONG and _is_rounded(want, have, answer, got) else found
    other = got if want else answer
    if not want and not have:
        return None
    number = (want or have)[0].value
    if (want or have)[0].unit_text and answer.casefold().replace(" ", "") == got.casefold().replace(" ", ""):
        return Told.UNTOLD  # "100 g" and "100G"
    nothing = other.casefold()
    if "how many" in question.casefold() and (
        nothing in _NONE or (nothing.startswith("no ") and stems(nothing[3:]) <= stems(question))
    ):
        return told(number == 0)
    return Told.UNTOLD if number is not None and read_roman(other) == number else None


def _names(answer: str, got: str, question: str) -> Told | None:
    """What names before an equals sign say against the values being the same."""
    want, have = assigned(answer, question), assigned(got, question)
    if want and have:
        return None if words(want[0]) == words(have[0]) else Told.WRONG
    name = (want or have or ("",))[0]
    asked = set(_LETTER.findall(question)) - {"a", "A", "I"} if " " in question else set()
    return Told.UNTOLD if len(name) == 1 and asked and name not in asked else None


def _quantity(text: str, question: str) -> tuple[Quantity, ...]:
    value = assigned(text, question)
    return read_quantities(value[1] if value else text)


def _is_rounded(want: tuple[Quantity, ...], have: tuple[Quantity, ...], answer: str, got: str) -> bool:
    """Whether one is a fraction that no decimal equals, and the other its first decimals."""
    for exact, other, text in ((want[0], have[0], got), (have[0], want[0], answer)):
        if exact.value is None or other.unit != exact.unit or exact.noun or other.noun:
            continue
        below = exact.value.denominator
        while below % 2 == 0 or below % 5 == 0:
            below //= 2 if below % 2 == 0 else 5
        if below > 1 and is_rounding(exact.value, text):
            return True
    return False


def _formula(answer: str, got: str, question: str) -> Told | None:
    """Formulas by value; a name before the equals sign counts where both sides have one."""
    want, have = assigned(answer, question), assigned(got, question)
    if not any(is_formula(text) for text in (answer, got)) and not (want or have):
        return None
    if want and have and words(want[0]) != words(have[0]):
        return Told.WRONG
    left, right = _value(want[1] if want else answer), _value(have[1] if have else got)
    if left is None or right is None:
        if (want or have) and not (is_formula(answer) or is_formula(got)):
            return None if want and have else same(want[1] if want else answer, have[1] if have else got, question)
        return None
    units = [unit for _, unit in (left, right) if unit]
    if len(units) == 2 and not set(read_unit(units[0])) & set(read_unit(units[1])):
        return Told.WRONG
    if same_values(left[0], right[0]):
        return Told.RIGHT
    rounded = is_rounding(left[0][0], got) if len(left[0]) == 1 else False
    rounded = rounded or (is_rounding(right[0][0], answer) if len(right[0]) == 1 else False)
    return Told.UNTOLD if rounded else Told.WRONG


def _value(text: str) -> tuple[tuple[Value, ...], str] | None:
    """The values of a formula and the unit behind it."""
    tail = _UNIT_TAIL.match(text) if len(text) <= _MAX_SHORT else None
    if tail and read_unit(tail.group(2) or "°") and (head := values(tail.group(1).strip())):
        return head, tail.group(2) or "°"
    found = values(text)
    return None if found is None else (found, "")


def _list(answer: str, got: str, question: str) -> Told | None:
    """The same things in the same order; in another order only a person can say."""
    want, have = _items(answer), _items(got)
    if len(want) > 1 and len(have) > 1 and (found := _brackets_differ(answer, got)):
        return found
    if (len(want) < 2 and len(have) < 2) or _OR.search(got) or _OR.search(answer):
        return None
    if len(want) < 2 or len(have) < 2:
        return Told.WRONG if _is_number_like(got if len(want) > 1 else answer) else None
    if len(want) != len(have):
        return Told.WRONG
    each = [same(one, other, question) for one, other in zip(want, have, strict=True)]
    if Told.WRONG not in each:
        return _all(each)
    is_ordered = _BRACKETED.match(answer) and answer[0] == "("
    is_moved = sorted(map(folded, want)) == sorted(map(folded, have))
    return Told.UNTOLD if is_moved and not is_ordered else None


def _brackets_differ(answer: str, got: str) -> Told | None:
    """A half-open interval is another one when it is closed."""
    if not (_BRACKETED.match(answer) and _BRACKETED.match(got)) or (answer[0], answer[-1]) == (got[0], got[-1]):
        return None
    is_interval = any((text[0], text[-1]) in (("[", ")"), ("(", "]")) for text in (answer, got))
    return Told.WRONG if is_interval else Told.UNTOLD


def _items(text: str) -> list[str]:
    if len(text) > 400:
        return []
    found = _BRACKETED.match(text)
    items = [item for item in _SEPARATOR.split(found.group(1) if found else text) if item.strip()]
    return items if len(items) <= _MAX_ITEMS else []


def _same_text(answer: str, got: str) -> Told:
    if max(len(answer), len(got)) > 2 * min(len(answer), len(got)) + 40:
        return Told.WRONG
    want, have = folded(answer), folded(got)
    if max(len(want), len(have)) > _MAX_SPELLED:
        return told(want == have)
    if want and (want == have or _spelled(want) == _spelled(have)):
        return Told.RIGHT
    if want.replace(" ", "") == have.replace(" ", "") and want:
        is_code = any(char.isdigit() for char in want)
        return told(_closed(want) == _closed(have)) if is_code else Told.RIGHT
    is_alike = (_bare(want) == _bare(have) and bool(_bare(want))) or _in_digits(want) == _in_digits(have)
    is_moved = len(want.split()) > 1 and sorted(want.split()) == sorted(have.split())
    return Told.UNTOLD if is_alike or is_moved else Told.WRONG


def _spelled(text: str) -> str:
    """Ordinals and whole numbers in digits: "third place" is "3rd place"."""
    row = []
    for word in text.split():
        number = ORDINALS.get(word)
        plain = read_number(word) if word.isalpha() and number is None else None
        if number is not None:
            word = f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }"
        elif plain is not None and plain.value is not None and plain.end == len(word):
            word = str(plain.value)
        row.append(word)
    return " ".join(row)


def _closed(text: str) -> str:
    """Without the blanks between a digit and a letter, which a code may have or not."""
    return re.sub(r"(?<=\d) (?=[^\W\d])|(?<=[^\W\d]) (?=\d)| (?=[<>≤≥≠=+*/^])|(?<=[<>≤≥≠=+*/^]) ", "", text)


def _bare(text: str) -> str:
    """Without accents and apostrophes, and a code without the dashes in it."""
    bare = "".join(
        char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char) and char != "'"
    )
    digits = sum(char.isdigit() for char in bare)
    is_code = digits and (digits >= _PHONE or any(char.isalpha() for char in bare))
    return re.sub(r"(?<=\w)[- ](?=\w)", "", bare) if is_code and len(bare.split()) < 4 else bare


def _in_digits(text: str) -> str:
    """With Roman numerals in digits, and without the sign before a number."""
    row = [str(read_roman(word) or word) for word in re.sub(r"^(?:#|no\.? |nr\.? |number )(?=\d)", "", text).split()]
    return " ".join(row)


def _all(each: list[Told]) -> Told:
    return next((found for found in (Told.WRONG, Told.UNTOLD) if found in each), Told.RIGHT)


def same_value(one: str, other: str, question: str) -> bool:
    """Whether two texts that are not the same words are the same number, formula, date or list of numbers."""
    if not _has_value(one) or not _has_value(other):
        return False
    quantities = _quantity(one, question), _quantity(other, question)
    if all(quantities):
        return same_quantity(*quantities, question) is Told.RIGHT
    return not any(quantities) and same(one, other, question) is Told.RIGHT


@lru_cache(maxsize=4096)
def _has_value(text: str) -> bool:
    """Whether a text is anything but words."""
    if len(text) > _MAX_SHORT:
        return False
    items = _items(text)
    is_list = len(items) > 1 and all(map(read_quantities, items))
    return (
        is_list or _is_number_like(text) or bool(read_date(text) or read_time(text)) or assigned(text, "") is not None
    )


def _is_number_like(text: str) -> bool:
    return bool(read_quantities(text)) or (is_formula(text) and values(text) is not None)


_RULES: Final[tuple[Callable[[str, str, str], Told | None], ...]] = (
    _bound,
    _moment,
    _ratio,
    _sides,
    _range,
    _number,
    _formula,
    _list,
)
