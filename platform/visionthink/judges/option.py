"""The options that a question lists, and which of them a text chooses.

Rule: a choice is a label, the text of an option, or both where they agree. A letter that begins a sentence is an
article ("A cat") or a pronoun ("I think") before it is a label, and a text that names several options chooses several.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from visionthink.judges.text import folded, plain, trimmed

Same = Callable[[str, str], bool]
"""Whether two texts mean the same."""

_MARK: Final = re.compile(
    r"(?:(?<=\s)|(?<=^)|(?<=[,;:?]))(?:[(\[]([A-Za-z]|\d{1,2})[)\]]|([A-Za-z]|\d{1,2})(?:[).]|:(?=\s)))\s{0,3}(?=\S)"
)
_MAX_OPTIONS: Final = 26
_FULL: Final = re.compile(
    r"^(?:(?:option|choice|answer|letter|number|point)s?\s?[:.]?\s?)?[(\[\"']?([A-Za-z]|\d{1,2})[)\]\"']?\s?[).:,]?$",
    re.IGNORECASE,
)
_LED: Final = re.compile(
    r"^(?:(?:option|choice|answer)\s)?([(\[]?)([A-Za-z]|\d{1,2})([)\]]?\s?[).:,=]|[)\]]|\s?[-](?=\s)|(?=\s))\s*(\S[\s\S]*)$",
    re.IGNORECASE,
)
_ASIDE: Final = re.compile(r"([^()]{1,200}?)(?: \(([A-Za-z])\)|,? (?:option|choice) \(?([A-Za-z])\)?)$", re.IGNORECASE)
_IS_RIGHT: Final = re.compile(
    r"^(?:is|seems|looks|would be|must be) (?:the |most |probably )*(?:correct|right|best|answer|likely)\b"
    r"|^(?:because|since|as)\b",
    re.IGNORECASE,
)
_SEPARATED: Final = re.compile(r"\s*(?:,\s*and\b|[,;&+]|\band\b)\s*", re.IGNORECASE)
_LETTERS: Final = re.compile(r"(?<![\w'])(?:\(([A-Za-z])\)|([A-Z])(?![\w'])|([A-Za-z])[).](?=\s))")


@lru_cache(maxsize=256)
def options(question: str) -> dict[str, str]:
    """Label to text, in the question's own order; empty when it lists none. Labels are in upper case."""
    marks = [(found.start(), found.end(), found.group(1) or found.group(2)) for found in _MARK.finditer(question)]
    best: list[tuple[int, int, str]] = []
    for first in ("A", "a", "1"):
        rows = _rows(marks, first)
        best = rows if len(rows) > len(best) else best
    if len(best) < 2:
        return {}
    ends = [start for start, _, _ in best[1:]] + [len(question)]
    found = {
        label.upper(): trimmed(plain(_first_line(question[begin:end], is_last=end == len(question))))
        for (_, begin, label), end in zip(best, ends, strict=True)
    }
    return found if all(found.values()) else {}


def _rows(marks: list[tuple[int, int, str]], first: str) -> list[tuple[int, int, str]]:
    """The longest run of labels in their order that begins with the last `first`."""
    best: list[tuple[int, int, str]] = []
    run: list[tuple[int, int, str]] = []
    for mark in marks:
        want = _next_label(first, len(run))
        if mark[2] == want and len(run) < _MAX_OPTIONS:
            run.append(mark)
        elif mark[2] == first:
            run = [mark]
        if len(run) >= len(best):
            best = list(run) if len(run) > len(best) else run
    return best


def _next_label(first: str, count: int) -> str:
    return str(count + 1) if first == "1" else chr(ord(first) + count)


def _first_line(text: str, *, is_last: bool) -> str:
    """The last option ends with its line: what follows is the question's own text."""
    return text.strip().split("\n")[0] if is_last else text


def chosen(text: str, listed: dict[str, str], same: Same) -> frozenset[str] | None:
    """The labels that a text chooses; None when it chooses none that can be told."""
    text = trimmed(text)
    if (by_text := _by_text(text, listed, same)) is not None:
        return by_text
    if (found := _FULL.match(text)) and found.group(1).upper() in listed:
        return frozenset({found.group(1).upper()})
    if len(text) > 1 and text.isalpha() and text.isupper() and set(text) <= set(listed) and len(set(text)) == len(text):
        return frozenset(text)
    if (led := _led(text, listed, same)) is not None:
        return led
    if (aside := _ASIDE.match(text)) and (by_text := _by_text(trimmed(aside.group(1)), listed, same)):
        label = (aside.group(2) or aside.group(3)).upper()
        return by_text if label in by_text or label not in listed else frozenset()
    parts = [part for part in _SEPARATED.split(text) if part.strip()]
    if 1 < len(parts) <= _MAX_OPTIONS and len(text) <= 400:
        return _each(parts, listed, same)
    return None


def _each(parts: list[str], listed: dict[str, str], same: Same) -> frozenset[str] | None:
    """The choices of all parts together; None when one of them chooses nothing."""
    labels: frozenset[str] = frozenset()
    for part in parts:
        found = _one(part, listed, same)
        if not found:
            return None
        labels |= found
    return labels


def _one(text: str, listed: dict[str, str], same: Same) -> frozenset[str] | None:
    found = _FULL.match(trimmed(text))
    if found and found.group(1).upper() in listed:
        return frozenset({found.group(1).upper()})
    return _by_text(trimmed(text), listed, same) or _led(trimmed(text), listed, same)


def _by_text(text: str, listed: dict[str, str], same: Same) -> frozenset[str] | None:
    """The one option whose text this is."""
    low = folded(text)
    exact = [label for label, option in listed.items() if folded(option) == low]
    if len(exact) == 1 and not (len(text) == 1 and text.upper() in listed and exact != [text.upper()]):
        return frozenset(exact)
    if exact or len(text) > 200 or (len(text) == 1 and text.isalpha()) or text.upper() in listed:
        return None
    alike = [label for label, option in listed.items() if same(option, text)]
    return frozenset(alike) if len(alike) == 1 else None


def _led(text: str, listed: dict[str, str], same: Same) -> frozenset[str] | None:
    """A label with the option's text, or with a reason, behind it. Empty when the two disagree."""
    found = _LED.match(text)
    if found is None or found.group(2).upper() not in listed:
        return None
    label, rest = found.group(2).upper(), found.group(4)
    is_marked = bool(found.group(1) or found.group(3).strip()) or text[found.start(4) - 1] == "\n"
    by_text = _by_text(trimmed(rest), listed, same) if len(rest) <= 200 else None
    if by_text is not None:
        is_article = not is_marked and label == "A"
        return by_text if label in by_text or is_article else frozenset()
    if (is_marked or _IS_RIGHT.match(rest)) and _is_reason(rest, label, listed):
        return frozenset({label})
    return None


def _is_reason(rest: str, label: str, listed: dict[str, str]) -> bool:
    """Whether what follows a label explains it: several words, and no other option among them."""
    others = named(rest, {key: text for key, text in listed.items() if key != label})
    return (
        (len(rest.split()) > 2 or bool(_IS_RIGHT.match(rest)))
        and not others
        and not re.match(r"(?:or|and|not)\b", rest, re.IGNORECASE)
    )


def named(text: str, listed: dict[str, str]) -> set[str]:
    """The labels of all options that a text speaks of, by label or by text."""
    found = {(match.group(1) or match.group(2) or match.group(3)).upper() for match in _LETTERS.finditer(text)}
    low = f" {folded(text)} "
    return {label for label, option in listed.items() if label in found or f" {folded(option)} " in low}
