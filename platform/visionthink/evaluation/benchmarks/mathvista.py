"""MathVista, testmini (arXiv 2310.02255): a language model extracts what a reply answers, a rule compares it.

Rule: words, extraction and comparison are those of lmms-eval 0.7.3 (`tasks/mathvista`, `mathvista_testmini_format`).
Where the reply is nothing but the answer no language model is asked. A judge that goes by rules takes an answer that
can be told from the words around it.
"""

import ast
import re
from typing import Final

from visionthink.core.sample import Sample
from visionthink.evaluation.benchmarks.benchmark import detail
from visionthink.evaluation.benchmarks.scores import edit_distance, option_line
from visionthink.judges import GradeItem, Inquiry

_LETTER: Final = re.compile(r"\(([a-zA-Z])\)")
_LED: Final = re.compile(r"\(?([A-Z])\)?[.:]?|(?:\(([A-Z])\)|([A-Z])[.:)])\s.*", re.DOTALL)
_NUMBER: Final = re.compile(r"-?\d(?:[\d,]*\d)?(?:\.\d+)?")
_DEMONSTRATION: Final = """\
Please read the following example. Then extract the answer from the model response and type it at the end of the prompt.

Hint: Please answer the question requiring an integer answer and provide the final value, e.g., 1, 2, 3, at the end.
Question: Which number is missing?

Model response: The number missing in the sequence is 14.

Extracted answer: 14

Hint: Please answer the question requiring a floating-point number with one decimal place and provide the final value, \
e.g., 1.2, 1.3, 1.4, at the end.
Question: What is the fraction of females facing the camera?

Model response: The fraction of females facing the camera is 0.6, which means that six out of ten females in the group \
are facing the camera.

Extracted answer: 0.6

Hint: Please answer the question requiring a floating-point number with two decimal places and provide the final \
value, e.g., 1.23, 1.34, 1.45, at the end.
Question: How much money does Luca need to buy a sour apple candy and a butterscotch candy? (Unit: $)

Model response: Luca needs $1.45 to buy a sour apple candy and a butterscotch candy.

Extracted answer: 1.45

Hint: Please answer the question requiring a Python list as an answer and provide the final list, e.g., [1, 2, 3], \
[1.2, 1.3, 1.4], at the end.
Question: Between which two years does the line  graph saw its maximum peak?

Model response: The line graph saw its maximum peak between 2007 and 2008.

Extracted answer: [2007, 2008]

Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.
Question: What fraction of the shape is blue?
Choices:
(A) 3/11
(B) 8/11
(C) 6/11
(D) 3/5

Model response: The correct answer is (B) 8/11.

Extracted answer: B"""


def prompt(sample: Sample) -> str:
    """The question, its unit and choices, and the form that is wanted."""
    unit, choices = detail(sample.details, "unit"), sample.details.get("choices", ())
    asked = f"{sample.question} (Unit: {unit})" if unit else sample.question
    listed = "\n".join(map(option_line, range(len(choices)), choices))
    return "\n".join(part for part in (asked, listed, _wanted(sample)) if part).strip()


def _wanted(sample: Sample) -> str:
    if detail(sample.details, "question_type") == "multi_choice":
        return "Answer with the option's letter from the given choices directly."
    match detail(sample.details, "answer_type"), _precision(sample):
        case "integer", _:
            return "Answer the question using a single integer number."
        case "float", 1:
            return "Answer the question using a single floating-point number with one decimal place."
        case "float", 2:
            return "Answer the question using a single floating-point number with two decimal places."
        case "list", _:
            return "Answer the question using a Python list."
        case _:
            return ""


def rule(item: GradeItem, prediction: str) -> float | Inquiry:
    """What a prediction is worth, or the question that extracts its answer."""
    text = prediction.strip()
    if not text:
        return 0.0
    plain = _plain(item, text)
    if plain is not None:
        return _worth(item, plain)
    found = _found(item, text)
    return Inquiry(
        text=f"{_DEMONSTRATION}\n\n{detail(item.details, 'query')}\n\n{text}\n\nExtracted answer: ",
        read=lambda reply: _worth(item, reply.strip()) if reply.strip() else None,
        ruled=None if found is None else _worth(item, found),
    )


def _plain(item: GradeItem, text: str) -> str | None:
    """The answer of a text that is nothing else."""
    if _has_choices(item):
        return text if text in item.details["choices"] else None
    try:
        match detail(item.details, "answer_type"):
            case "integer":
                return str(int(text))
            case "float":
                return str(float(text))
            case _:
                return None
    except ValueError:
        return None


def _found(item: GradeItem, text: str) -> str | None:
    """The answer of a text that says it so that a rule can tell."""
    if _has_choices(item):
        led = _LED.fullmatch(text)
        letter = next((group for group in led.groups() if group), "") if led else ""
        choices = item.details["choices"]
        same = [choice for choice in choices if choice.lower() == text.lower().rstrip(".")]
        known = letter and ord(letter) - ord("A") < len(choices)
        return letter if known else same[0] if len(same) == 1 else None
    if detail(item.details, "answer_type") == "list":
        return _one_list(text)
    numbers = _NUMBER.findall(text)
    return numbers[0].replace(",", "") if len(numbers) == 1 and "%" not in text else None


def _one_list(text: str) -> str | None:
    lists = re.findall(r"\[[^\[\]]*\]", text)
    try:
        return str(ast.literal_eval(lists[0])) if len(lists) == 1 else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _worth(item: GradeItem, extracted: str) -> float:
    """Whether an extracted answer is the right one.

    Odd: what is none of the choices counts as the one that is spelled most like it.
    """
    return float(_normal(item, extracted).strip() == item.answer.strip())


def _normal(item: GradeItem, extracted: str) -> str:
    if _has_choices(item):
        return _chosen(extracted, item.details["choices"])
    try:
        match detail(item.details, "answer_type"):
            case "integer":
                return str(int(float(extracted)))
            case "float":
                return str(round(float(extracted), _precision(item)))
            case _:
                return extracted
    except (ValueError, OverflowError):
        return "None"


def _chosen(extracted: str, choices: tuple[str, ...]) -> str:
    letters = _LETTER.findall(extracted)
    text = letters[0].upper() if letters else extracted.strip()
    place = ord(text) - ord("A") if len(text) == 1 else -1
    return choices[place] if 0 <= place < len(choices) else min(choices, key=lambda one: edit_distance(text, one))


def _has_choices(item: GradeItem) -> bool:
    return detail(item.details, "question_type") == "multi_choice" and bool(item.details.get("choices"))


def _precision(item: Sample | GradeItem) -> int:
    """Decimal places."""
    return int(detail(item.details, "precision") or 0)
