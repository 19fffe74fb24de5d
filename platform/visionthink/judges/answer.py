"""Reads an answer the way a person does before comparing it: unwraps, normalises, finds the number or the choice.

Rule: leniency about form, never about content. "the RED circle." is "red circle" and "1,200" is "1200", but "07" is not
"7" (a printed code is copied, not computed), and an answer that lists every possibility matches none of them.
"""

import re
import unicodedata
from fractions import Fraction
from typing import Final

_ARTICLES: Final = re.compile(r"^(?:a|an|the)\s+")
_EDGES: Final = " \t\n.,;:!?\"'`*()[]{}"
_NUMBER: Final = re.compile(r"^([+-]?)(?:(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?)(?:\s*/\s*(\d+))?$")
_UNIT: Final = re.compile(r"^([$€£¥]?)\s*([+-]?[\d.,/\s]*\d)\s*(%|°|percent|degrees?|[a-zµ²³/^0-9]*)$")
_UNIT_NAMES: Final = {"percent": "%", "degree": "°", "degrees": "°"}
_MAX_DIGITS: Final = 64
"""Longer rows of digits are a model that repeats itself; Python refuses to count thousands of them."""
_LETTER: Final = re.compile(r"^\(?([A-Za-z])(?:[).:]|$)")
_LETTER_IN_TEXT: Final = re.compile(r"\b(?:answer|option|choice)\s*(?:is|:)?\s*\(?([A-Z])\b", re.IGNORECASE)
_SEVERAL: Final = re.compile(r"\b[A-H]\b\W*(?:or|and|,|/|&)\W*[A-H]\b", re.IGNORECASE)
_OPTION: Final = re.compile(r"(?:^|\s)\(?([A-H])[).:]\s*(.+?)(?=\s*(?:[,;\n]|\s)\s*\(?[A-H][).:]\s|\s*$)", re.DOTALL)


def unboxed(text: str) -> str:
    r"""The content of the last `\boxed{...}` (braces may nest), or the text itself when there is none."""
    start = text.rfind(r"\boxed{")
    if start < 0:
        return text
    begin, depth = start + len(r"\boxed{"), 1
    for end in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[begin:end]
    return text[begin:]


def normalised(text: str) -> str:
    """Unwrapped, one case, one kind of space, without a leading article or punctuation at the edges."""
    plain = unicodedata.normalize("NFKC", unboxed(text)).replace("$\\", "\\")
    plain = re.sub(r"\\(?:text|mathrm|textbf)\{([^{}]*)\}", r"\1", plain)
    plain = re.sub(r"\s+", " ", plain).casefold().strip(_EDGES)
    return _ARTICLES.sub("", plain).strip(_EDGES)


def number(text: str) -> tuple[Fraction, str] | None:
    """Value and unit ("" without one), or None when the text is more than a number with a unit.

    A leading zero before another digit makes it a code, not a number.
    """
    plain = (
        unicodedata.normalize("NFKC", unboxed(text))
        .replace("\N{MINUS SIGN}", "-")
        .strip()
        .strip("\"'`*")
        .rstrip(".")
        .casefold()
    )
    found = _UNIT.match(plain)
    if found is None:
        return None
    currency, digits, suffix = found.groups()
    value = _value(digits.strip())
    if value is None:
        return None
    return value, currency or _UNIT_NAMES.get(suffix, suffix)


def _value(digits: str) -> Fraction | None:
    found = _NUMBER.match(digits) if len(digits) <= _MAX_DIGITS else None
    if found is None:
        return None
    sign, whole, decimals, below = found.groups()
    if whole is None and decimals is None:
        return None
    whole = (whole or "0").replace(",", "")
    if len(whole) > 1 and whole.startswith("0"):
        return None
    if below is not None and int(below) == 0:
        return None
    value = Fraction(whole + (decimals or "")) / int(below or 1)
    return -value if sign == "-" else value


def choice(text: str) -> str | None:
    """The letter of a multiple-choice answer such as "B", "(b)", "B. blue" or "the answer is B"; None without one.

    None for several ("B or C") as well.
    """
    plain = unboxed(text).strip().strip("*")
    if _SEVERAL.search(plain):
        return None
    found = _LETTER.match(plain) or _LETTER_IN_TEXT.search(plain)
    return found.group(1).upper() if found else None


def options(question: str) -> dict[str, str]:
    """The options that a question lists, letter to normalised text: "(A) red (B) blue" or one a line."""
    found = {letter: normalised(text) for letter, text in _OPTION.findall(question)}
    letters = "".join(found)
    return found if len(found) > 1 and letters == "ABCDEFGH"[: len(found)] else {}
