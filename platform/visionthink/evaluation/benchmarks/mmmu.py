"""MMMU, validation (arXiv 2311.16502), and MMMU-Pro (arXiv 2409.02813): options, and short open answers.

Rule: words and scores are those of lmms-eval 0.7.3 (`tasks/mmmu`, `tasks/mmmu_pro`), which keeps the authors' parser.
Where that parser finds no option it draws one at random; here nothing was chosen then, which is wrong.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from visionthink.core.sample import Sample
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.benchmarks.benchmark import detail
from visionthink.evaluation.benchmarks.scores import letter_of, option_line
from visionthink.judges import GradeItem

_BY_LETTER: Final = "Answer with the option's letter from the given choices directly."
_BY_LETTER_PRO: Final = "Answer with the option letter from the given choices directly."
_BY_WORDS: Final = "Answer the question using a single word or phrase."
_MULTIPLE: Final = "multiple-choice"
_MIN_WORDS: Final = 5
"""A text of more words may name an option by what it says."""
_KEYS: Final = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL: Final = frozenset(":,.!?;'")
_NUMBERS: Final = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
_DOMAINS: Final = {
    "Art and Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health and Medicine": (
        *("Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine", "Pharmacy"),
        "Public_Health",
    ),
    "Humanities and Social Science": ("History", "Literature", "Sociology", "Psychology"),
    "Tech and Engineering": (
        *("Agriculture", "Architecture_and_Engineering", "Computer_Science", "Electronics", "Energy_and_Power"),
        *("Materials", "Mechanical_Engineering"),
    ),
}


def prompt(sample: Sample) -> str:
    """The question, its options, and the form that is wanted."""
    if detail(sample.details, "question_type") != _MULTIPLE:
        return f"{sample.question}\n\n{_BY_WORDS}"
    return f"{sample.question}\n{_listed(sample)}\n\n{_BY_LETTER}"


def prompt_pro(sample: Sample) -> str:
    """The same of MMMU-Pro, whose questions all have options."""
    return f"{sample.question}\n{_listed(sample)}\n\n{_BY_LETTER_PRO}"


def prompt_vision(sample: Sample) -> str:
    """Of a question that stands in the picture, with its options."""
    return _BY_LETTER_PRO


def _listed(sample: Sample) -> str:
    options = sample.details["options"]
    return "\n".join(map(option_line, range(len(options)), options))


def rule(item: GradeItem, prediction: str) -> float:
    """By the option, or, of an open question, by the words and numbers of the parts that announce an answer."""
    if detail(item.details, "question_type") == _MULTIPLE:
        return rule_pro(item, prediction)
    found = set(_said(prediction))
    return float(any(_matches(want, got) for want in _normal(item.answer) for got in found))


def rule_pro(item: GradeItem, prediction: str) -> float:
    """By the option."""
    return float(chosen(prediction, item.details["options"]) == item.answer)


def rule_vision(item: GradeItem, prediction: str) -> float:
    """The letter of the option and nothing else.

    Odd: "B." is not "B".
    """
    return float(prediction == item.answer)


def chosen(response: str, options: Sequence[str]) -> str:
    """The letter of the option that a response names, the last one of several; empty where it names none.

    Odd: "(A)" counts before "A ", "A " before "A.", and the words of an option only in a text of more than five.
    """
    text = response
    for mark in (",", ".", "!", "?", ";", ":", "'"):
        text = text.strip(mark)
    text = f" {text} "
    letters = [letter_of(place) for place in range(len(options))]
    for sign, place in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        found = [letter for letter in letters if sign.format(letter) in text]
        if found:
            return max(found, key=lambda letter: text.rfind(place.format(letter)))
    if len(text.split()) <= _MIN_WORDS:
        return ""
    said = {letter: text.lower().rfind(option.lower()) for letter, option in zip(letters, options, strict=True)}
    return max((letter for letter in letters if said[letter] >= 0), key=said.__getitem__, default="")


def _said(response: str) -> Iterator[str | float]:
    """The texts and numbers that an open response may mean."""
    parts = _key_parts(response)
    numbers = [number for part in parts for pattern in _NUMBERS for number in pattern.findall(part)]
    for text in (*parts, *numbers):
        yield from _normal(text)


def _key_parts(response: str) -> list[str]:
    """What stands behind the words that announce an answer, the shortest of each line; else the whole."""
    whole = response.strip().strip(".").lower()
    # Of a text in lower case only line breaks part it: the authors look for a capital behind the full stop.
    lines = whole.split("\n")
    parts = []
    for number, line in enumerate(lines):
        keys = (*_KEYS, "=") if number == len(lines) - 1 else _KEYS
        # The first of the shortest; an empty one gives way to the next.
        behind = [line.split(key)[-1].strip() for key in keys if key in line]
        shortest = ""
        for part in behind:
            shortest = part if not shortest or len(part) < len(shortest) else shortest
        if shortest and shortest not in _TRIVIAL:
            parts.append(shortest)
    return parts or [whole]


def _normal(text: str) -> list[str | float]:
    """A number to two places, or the text in lower case; a single letter needs a blank beside it."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        low = text.lower()
    return [f" {low}", f"{low} "] if len(low) == 1 else [low]


def _matches(want: str | float, got: str | float) -> bool:
    if isinstance(got, str):
        return isinstance(want, str) and want in got
    return got == want


def subject_shares(answers: Sequence[Answer]) -> Mapping[str, float]:
    """The share of right answers by subject and by domain."""
    scores: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        domains = [domain for domain, subjects in _DOMAINS.items() if answer.family in subjects]
        for name in (answer.family, *domains):
            scores[name].append(answer.score)
    return {name: sum(found) / len(found) for name, found in sorted(scores.items())}
