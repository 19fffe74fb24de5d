"""The strict reading of what a language model says of an answer.

Rule: only an unambiguous verdict in the form that was asked for is one. The released code took any reply with a "1" in
it for "correct", and a reply without a score for "wrong"; here such a reply is no verdict, and is asked for again. So
is one that says two things ("Score: 0 or 1", "Score: 1, no, 0"), a number that is neither (-1, 0,5, 10, 1/10), and a
thought that was cut off.
"""

import re
from typing import Final

_THOUGHT: Final = re.compile(r"^.*</think>|<think>.*", re.DOTALL)  # up to the end when it was cut off
_SCORE: Final = re.compile(
    r"\bscore\b[\s\"'*_`:：=\[{<]{0,8}"  # noqa: RUF001
    r"([01])(?:\.0+)?"
    r"(?![\w%]|[.,:]\d|\s*[?/|\\~+]|\s*[-–—]+>?\s*\d|\s*(?:or|and|to|of|out)\b)"  # noqa: RUF001
    r"([^.\n]*)",
    re.IGNORECASE,
)
_DIGIT: Final = re.compile(r"(?<![\w.])[01](?![\w.]*\d)(?!\w)")
_BARE: Final = re.compile(r"[\s*_`\"'\[({]*([01])(?:\.0*)?[\s*_`\"'\])}]*")
_YES_NO: Final = re.compile(r"\[\[\s*(yes|no)\s*\]\]", re.IGNORECASE)


def without_thought(reply: str) -> str:
    """What a model says once it has thought."""
    return _THOUGHT.sub("", reply)


def parse_verdict(reply: str) -> float | None:
    """1.0 or 0.0 of "Score: 1" or "Score: 0"; None when the reply names no score, or names both."""
    text = without_thought(reply)
    scores: set[str] = set()
    for score, rest in _SCORE.findall(text):
        scores |= {score, *_DIGIT.findall(rest)}  # "Score: 1, no, 0" names both
    if not scores and (bare := _BARE.fullmatch(text)):
        scores = {bare.group(1)}
    return float(scores.pop()) if len(scores) == 1 else None


def parse_yes_no(reply: str) -> float | None:
    """1.0 of "[[YES]]", 0.0 of "[[NO]]"; None when the reply says neither, or both."""
    said = {word.lower() for word in _YES_NO.findall(without_thought(reply))}
    return float(said == {"yes"}) if len(said) == 1 else None
