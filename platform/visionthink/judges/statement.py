r"""What a text commits to: the box, the words after "the answer is", or the sentence that restates the question.

Rule: the last commitment counts, and everything that belongs to it. "\boxed{5} or \boxed{6}" commits to "5 or 6", which
is no answer; "the answer is not B" commits to "not B". A text without a commitment is taken as a whole.
"""

import re
from dataclasses import dataclass
from typing import Final

from visionthink.judges.text import stem, stems, trimmed, words
from visionthink.judges.unit import read_unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The part of a text that answers."""

    text: str
    is_committed: bool
    """Whether the text says so; otherwise it is the whole text."""
    is_withdrawn: bool = False
    """Whether words after it take it back, or add to it."""


_BOX: Final = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{")
_JOINED: Final = re.compile(r"[\s$,;/]*(?:or|and|/|,)?[\s$,;/]*$", re.IGNORECASE)
_MORE: Final = re.compile(r"[\s$]*(?:or\b|and\s+(?=[\d\\$-])|/)", re.IGNORECASE)
_MARKER: Final = re.compile(
    r"(?:\b(?:(?:final|correct|right|best|my|the)\s){0,3}(?:answer|option|choice|solution|result)"
    r"(?: to (?:the|this) question| here)?(?:\s?(?:is|should be|would be|must be)\b\s?[:=]?|\s?[:=])"
    r"|\bi(?:'d| would| will|'ll)? (?:choose|pick|select|go with|say)\b(?: that)?"
    r"|\bi(?:'m| am) going with\b|\b(?:so|thus|therefore|hence),? it(?:'s| is| must be)\b|\banswer\b(?=\s?[-\n]))\s*",
    re.IGNORECASE,
)
_THOUGHT: Final = re.compile(
    r"^(?:(?:so|thus|therefore|hence|well|ok|okay|then|i think|i believe|i guess|i'd say|it seems|it appears|"
    r"it looks like|absolutely|definitely|certainly|clearly|of course|in conclusion|overall|finally|actually)\b"
    r"(?: that)?[,:]? ?)+(?=\S)",
    re.IGNORECASE,
)
_COPULA: Final = re.compile(
    r"\b(?:is|are|was|were|must be|equals|has|have|shows?|reads?|says?|contains?|measures?)\b:? ?|'s |'re |: ?",
    re.IGNORECASE,
)
_SUBJECTS: Final = frozenset(
    words(
        "height width distance speed weight price cost date year time size area sign title label brand "
        "it it's its that that's this there they these those here the a an of in on for to at and i we he she "
        "picture image photo figure diagram chart graph table shown total value number answer color colour "
        "letter code text word name digits digit shape object thing amount measure length result can see be "
        "i'm would"
    )
)
_LABELS: Final = re.compile(
    r"^(?:letter|number|point|digit|code|figure|answer|value|line|box|panel|row|column|color)\s(?=\S)", re.IGNORECASE
)
_END: Final = re.compile(
    r"(?<!\b[A-Za-z])(?<!\b(?:Dr|Mr|Ms|St|No|vs|Jr|Sr|Co))(?<!\b(?:Mrs|Inc|Ltd|Ave|Rev|Vol|etc))"
    r"[.!?](?=\s|$)(?! ?\d)|\n",
    re.IGNORECASE,
)
_REASON: Final = re.compile(
    r"(?:,? (?:because|since|as (?=it|the|there|shown|we|this|that)|due to|based on|so that)|, which)\b"
    r"|\s[-(](?=because)",
    re.IGNORECASE,
)
_WITHDRAWN: Final = re.compile(
    r"\b(?:wait|actually|however|alternatively|or (?:maybe|perhaps|possibly|it)|could also|may also|might also|sorry|"
    r"correction|on second thought|no,|instead|rather|but|not|or)\b",
    re.IGNORECASE,
)
_REVERSED: Final = re.compile(
    r"([^.!?\n]{1,80}?) (?:is|would be|must be) (?:the |my )?(?:correct |right |best |final )?"
    r"(?:answer|option|choice)$",
    re.IGNORECASE,
)
_RATHER: Final = re.compile(
    r"(?:it(?:'s| is) )?not [^.!?\n]{1,80}?,? but (?:rather |it is |it's )?([^.!?\n]{1,80})$", re.IGNORECASE
)
_RETRACTED: Final = re.compile(r"^(?:(?:no|wait|sorry|oh|actually|correction)\b[,:.! ]+)+", re.IGNORECASE)
_PLACED: Final = re.compile(
    r" (?:shown |visible |depicted )?(?:in|on) (?:the|this) (?:image|picture|photo|photograph|figure|scene|diagram)$"
    r"| of them$|, i (?:think|believe|guess)$",
    re.IGNORECASE,
)
_ASSIGNMENT: Final = re.compile(r"^([^=≈≠<>≤≥]{1,30}?) ?[=≈] ?([^=≈≠<>≤≥]*[\dπ√][^=≈≠<>≤≥]*|[A-Za-z^+]{1,12})$")
_SYMBOL: Final = re.compile(r"(?:[A-Za-zα-ω](?:_?\{?\w\}?)?|[A-Z]{2,3}|m ?∠ ?\w{1,4}|[∠△] ?\w{1,4}|[a-z]\([a-z]\))$")  # noqa: RUF001
_CALCULATION: Final = re.compile(r"\d ?[-+*/×·] ?\d")  # noqa: RUF001
_NEGATION: Final = re.compile(
    r"^(?:not|n't|isn't|never|neither|nor|except|without|cannot|anything but|everything but|all but|no longer|non)\b"
    r"|\b(?:not|cannot)\b|\bn't\b|n't\b",
    re.IGNORECASE,
)


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{...}` holds, with what is joined to it; None without a box."""
    spans = []
    end = 0
    for found in _BOX.finditer(text):
        if found.start() >= end:
            end = _closing(text, found.end())
            spans.append((found.start(), found.end(), end))
    if not spans:
        return None
    _, inside, end = spans[-1]
    content = text[inside:end]
    after = text[end + 1 :]
    for (_, left, right), (begin, _, _) in zip(spans[-2::-1], spans[:0:-1], strict=False):
        gap = text[right + 1 : begin]
        if len(gap) > 12 or not _JOINED.match(gap):
            break
        content = f"{text[left:right]} {gap.replace('$', ' ').strip() or 'or'} {content}"
    tail = re.sub(r"\\text\s?\{([^{}]{0,40})\}", r"\1", after[:60].replace("$", " ")).strip()
    if _MORE.match(after[:40]) or read_unit(tail.rstrip(". \\").strip()):
        content = f"{content} {tail.rstrip('.') if not _MORE.match(after[:40]) else after}"
    return content


def _closing(text: str, begin: int) -> int:
    depth = 1
    for found in re.finditer(r"[{}]", text[begin:]):
        depth += 1 if found.group() == "{" else -1
        if depth == 0:
            return begin + found.start()
    return len(text)


def committed(text: str, question: str) -> Statement:
    """What a plain text commits to."""
    if found := _REVERSED.match(trimmed(text)):
        return Statement(text=trimmed(found.group(1)), is_committed=True)
    if found := _RATHER.match(trimmed(text)):
        return Statement(text=trimmed(found.group(1)), is_committed=True)
    marks = list(_MARKER.finditer(text))
    if marks and trimmed(text[marks[-1].end() :]):
        return _after_marker(text[marks[-1].end() :])
    body = trimmed(text)
    if restated := _restated(body, question):
        return Statement(text=restated, is_committed=True)
    return Statement(text=body, is_committed=False)


def _after_marker(text: str) -> Statement:
    """The first clause of what follows; what comes later may take it back."""
    text = text.lstrip(" :*\n")
    found = _END.search(text, 1)
    clause, later = (text, "") if found is None else (text[: found.start()], text[found.end() :])
    if reason := _REASON.search(clause):
        clause, later = clause[: reason.start()], ""
    is_withdrawn = bool(_WITHDRAWN.search(later[:200])) and not _REASON.match(" " + later[:40])
    return Statement(text=trimmed(_THOUGHT.sub("", trimmed(clause))), is_committed=True, is_withdrawn=is_withdrawn)


def _restated(text: str, question: str) -> str | None:
    """What stands after the verb of a sentence whose subject the question named; None for anything else."""
    if "\n" in text or len(text) > 300:
        return None
    short = _PLACED.sub("", trimmed(_THOUGHT.sub("", text)))
    if reason := _REASON.search(short):
        short = trimmed(short[: reason.start()])
    known = _SUBJECTS | stems(question)
    for found in _COPULA.finditer(short):
        subject = words(short[: found.start()])
        if (
            len(subject) <= 12
            and all(stem(word) in known or word in known for word in subject)
            and _is_subject(subject)
        ):
            rest = trimmed(short[found.end() :])
            if rest and not _END.search(rest):
                return rest
        break
    if seen := re.match(r"(?:i|we) (?:can )?(?:see|count|read|find) (?=\S)", short, re.IGNORECASE):
        return trimmed(short[seen.end() :])
    if (label := _LABELS.match(short)) and trimmed(label.group()).casefold() in words(question):
        return trimmed(short[label.end() :])
    if place := re.match(r"(?:in|on|at) (?:the )?(?=\S{3})", short[:30], re.IGNORECASE):
        return trimmed(short[place.end() :])
    return short if short != text else None


def _is_subject(row: list[str]) -> bool:
    """Whether a row of words names something, other than by a single letter."""
    return any(len(word) > 1 for word in row)


def last_sentence(text: str) -> str:
    """The last sentence, without the word that takes back the one before."""
    return trimmed(_RETRACTED.sub("", re.split(r"[.!?;]\s|\n", trimmed(text))[-1]))


def is_negated(text: str) -> bool:
    """Whether a commitment is to what the answer is not."""
    return bool(_NEGATION.search(text))


def assigned(text: str, question: str) -> tuple[str, str] | None:
    """Name and value of "x = 5", "angle ABC = 45" or "2 + 3 = 5"; None when it is no such thing.

    The name is a symbol, a calculation, or words that the question has as well.
    """
    found = _ASSIGNMENT.match(text)
    if found is None:
        return None
    name, value = found.group(1).strip(), found.group(2).strip()
    known = _SUBJECTS | stems(question)
    is_name = _SYMBOL.match(name) or _CALCULATION.search(name) or all(stem(word) in known for word in words(name))
    return (name, value) if is_name else None
