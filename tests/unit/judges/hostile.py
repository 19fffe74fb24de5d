"""Texts that are made to keep a pattern busy: long rows of what patterns count, and mixtures of it."""

import random
from collections.abc import Iterator
from typing import Final

from visionthink.judges import GradeItem

_PIECES: Final = (
    *"9 ,.{}\\$()[]A-/\n^_=x%°²½I:'\"*−é~|?!;+≥ß①\x00",  # noqa: RUF001
    *("\u0661", "\u200b", "(A) x ", "\\boxed{", "a. b ", "\\frac{", "\\sqrt{", "1,000", "1/2", "and ", "or ", "1e"),
    *("the answer is ", "yes ", "no ", "10^", "three ", "hundred ", "million ", "is ", "not ", "B. ", "km ", "\\text{"),
    *("{,}", " 5", "A or B ", "…", "**", "(a) ", "12:30 ", "5 ft ", "$5", "x = ", "because "),
)
_QUESTIONS: Final = (
    "what is it ?",
    "Which? (A) dog (B) cat (C) horse",
    "Pick:\n" + "\n".join(f"{chr(65 + index)}. option {index}" for index in range(26)),
)
_ANSWERS: Final = ("46", "B", "red", "1/2", "$5", "x^2+1", "yes", "1, 2, 3", "3 km", "5-10", "3:45 pm", "May 5")
_SIZES: Final = (3, 10, 30, 100, 300, 1500, 5000, 40000)


def hostile_items(count: int, seed: int) -> Iterator[GradeItem]:
    """`count` items, the same for the same seed; some repeat themselves and some have hostile questions and answers."""
    rng = random.Random(seed)
    for _ in range(count):
        text = _text(rng)
        yield GradeItem(
            question=rng.choice((*_QUESTIONS, text)), answer=rng.choice((*_ANSWERS, text[:60], text)), prediction=text
        )


def _text(rng: random.Random) -> str:
    size = rng.choice(_SIZES)
    if rng.random() < 0.6:
        part = "".join(rng.choices(_PIECES, k=rng.choice((1, 1, 2, 3, 5))))
        return (part * (size // len(part) + 1))[:size]
    return "".join(rng.choices(_PIECES, k=size))[:size]
