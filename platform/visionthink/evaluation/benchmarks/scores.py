"""What a prediction is worth by the rules of public benchmarks. Pure.

Rule: the same score as the functions with which published figures were made (lmms-eval 0.7.3,
`lmms_eval/tasks/<name>/utils.py` and `lmms_eval/api/metrics.py`), oddities included, or figures could not be compared;
what is odd is written beside it. All take the text of the answer alone.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

_RELAXED: Final = 0.05
_ANLS_THRESHOLD: Final = 0.5
_FULL_WIDTH: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " "}
_OPTIONS: Final = ("A", "B", "C", "D")


def relaxed_accuracy(prediction: str, answer: str) -> float:
    """ChartQA: within 5 % of a number, else the same text but for case (Masry et al., arXiv 2203.10244, section 5.1).

    Odd: "50%" is .5 and so is not 50; a number with a thousands separator is a text; an answer of 0 is a text.
    """
    number, wanted = _number(prediction), _number(answer)
    if number is not None and wanted:
        return float(abs(number - wanted) / abs(wanted) <= _RELAXED)
    return float(prediction.lower() == answer.lower())


def anls(prediction: str, answers: Iterable[str]) -> float:
    """DocVQA: 1 - normalized Levenshtein distance to the nearest answer, 0 below one half (arXiv 1907.00490).

    Odd: distances are taken after blanks were joined, lengths before.
    """
    best = max(1.0 - _distance_share(prediction, answer) for answer in answers)
    return best if best >= _ANLS_THRESHOLD else 0.0


def contains_answer(prediction: str, answers: Iterable[str]) -> float:
    """OCRBench: one of the answers stands in the prediction, whatever the case (Liu et al., arXiv 2305.07895)."""
    text = _folded(prediction.strip())
    return float(any(_folded(answer) in text for answer in answers))


def contains_formula(prediction: str, answers: Iterable[str]) -> float:
    """OCRBench, handwritten formulas: the same without any blanks, case kept."""
    text = _without_blanks(prediction)
    return float(any(_without_blanks(answer) in text for answer in answers))


def said_yes_or_no(prediction: str) -> str:
    """POPE: the prediction as it is compared with "yes" and "no"; anything longer is neither."""
    return prediction.lower().strip()


def read_yes_or_no(prediction: str) -> str:
    """MME: "yes", "no" or "other", by the first four letters (Otter's parser).

    Odd: "nothing" is "no", "I say yes" is "other".
    """
    text = prediction.lower().strip().replace(".", "")
    if text in ("yes", "no"):
        return text
    if len(text) == 1:
        return {"y": "yes", "n": "no"}.get(text, "other")
    return next((word for word in ("yes", "no") if word in text[:4]), "other")


def letter_of(place: int) -> str:
    """The letter of the option at a place, from 0."""
    return chr(ord("A") + place)


def option_line(place: int, option: str) -> str:
    """An option as it is listed: "B. red"."""
    return f"{letter_of(place)}. {option}"


def option_or_text(prediction: str, answer: str) -> float:
    """RealWorldQA: the letter of the option where the answer is one, else the same text but for case and full stop."""
    wanted = answer.strip()
    if wanted.upper() in _OPTIONS:
        return float(option_letter(prediction) == wanted.upper())
    return float(prediction.lower().strip().rstrip(".") == wanted.lower())


def option_letter(response: str, options: Sequence[str] = _OPTIONS) -> str:
    """The letter of the option that a response settles on; empty where it names none.

    The surest way of writing one wins (it begins or ends with the letter, "the answer is A", "(A)", "A.", "A:", "A)",
    "A "), and among equals the last.
    """
    text = response.strip()
    for mark in (",", ".", "!", "?", ";", ":", "'", '"'):
        text = text.strip(mark)
    bare, text = text.strip(), f" {text} "
    found = [one for letter in options for one in _places(letter, text, bare)]
    if not found:
        found = [(0, text.rfind(letter), letter) for letter in options if letter in text]
    if not bare or not found:
        return ""
    # Python's sort is stable, so of two that stand at one place the first to be found wins.
    return max(found, key=lambda one: one[:2])[2]


_SIGNS: Final = ((6, "({})"), (5, "{}."), (4, "{}:"), (3, "{})"), (2, "{} "))
_PHRASES: Final = (
    *("the answer is", "answer is", "the correct answer is", "correct answer is", "the best answer is"),
    *("best answer is", "the correct option is", "correct option is", "the best option is", "best option is"),
    *("the choice is", "choice is", "the correct choice is", "correct choice is", "i choose", "i select", "i pick"),
    *("my answer is", "my choice is", "옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)


def _places(letter: str, text: str, bare: str) -> list[tuple[int, int, str]]:
    """How surely, and where, a response names an option."""
    found = [(rank, text.rfind(sign.format(letter)), letter) for rank, sign in _SIGNS if sign.format(letter) in text]
    lower = text.lower()
    for phrase in _PHRASES:
        start = lower.find(phrase)
        if start != -1 and (place := text.find(letter, start + len(phrase))) != -1:
            found.append((7, place, letter))
    if bare.startswith(letter) and (len(bare) == 1 or not bare[1].isalpha()):
        found.append((10, 0, letter))
    if bare.endswith(letter) and (len(bare) == 1 or not bare[-2].isalpha()):
        found.append((9, len(text) - 1, letter))
    return found


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _distance_share(prediction: str, answer: str) -> float:
    length = max(len(answer.upper()), len(prediction.upper()))
    if length == 0:
        return 0.0
    return edit_distance(*(" ".join(text.strip().lower().split()) for text in (answer, prediction))) / length


def edit_distance(one: str, other: str) -> int:
    """Levenshtein distance, in the product of the lengths."""
    if len(one) > len(other):
        one, other = other, one
    above = list(range(len(one) + 1))
    for row, letter in enumerate(other, start=1):
        line = [row]
        for column, own in enumerate(one):
            line.append(above[column] if own == letter else 1 + min(above[column], above[column + 1], line[-1]))
        above = line
    return above[-1]


def _folded(text: str) -> str:
    return text.translate(_FULL_WIDTH).lower().strip().replace("\n", " ")


def _without_blanks(text: str) -> str:
    return re.sub(r"[ \n]", "", text.strip())
