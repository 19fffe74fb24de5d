"""MMBench, English dev (arXiv 2307.06281): an option, asked in every rotation that the set holds.

Rule: circular, as the authors and lmms-eval 0.7.3 (`tasks/mmbench`) count: the set repeats a question with its options
rotated, under an index 1,000,000 apart, and the question is right when each of its answers is. A language model is
asked only where no option can be read off the answer; lmms-eval draws one at random where that fails.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from visionthink.core.sample import Sample
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.benchmarks.benchmark import detail
from visionthink.evaluation.interval import Bootstrap, score_interval
from visionthink.judges import GradeItem, Inquiry
from visionthink.report.record import Interval

_ROTATION: Final = 1_000_000
"""What the index of a question and that of its rotations are equal by."""
_ABSENT: Final = "nan"
"""How the set says that a question has fewer options."""
_LETTERS: Final = "ABCDE"
_SIGNS: Final = (*("{}.", "{},", "{}:", "{})", "{}).", "({})", "({}).", ":{}", ":{},", ":{}.", ":{})", ":{})."),)
_MATCHED: Final = (
    "You are an AI assistant who will help me to match an answer with several options of a single-choice question. "
    "You are provided with a question, several options, and an answer, and you need to find which option is most "
    "similar to the answer. If the meaning of all options are significantly different from the answer, output E. "
    "Your should output a single uppercase character in A, B, C, D (if they are valid options), and E. \n"
    "Example 1: \n"
    "Question: What is the main object in image?\nOptions: A. teddy bear B. rabbit C. cat D. dog\n"
    "Answer: a cute teddy bear\nYour output: A\n"
    "Example 2: \n"
    "Question: What is the main object in image?\nOptions: A. teddy bear B. rabbit C. cat D. dog\n"
    "Answer: Spider\nYour output: E\n"
    "Example 3: \n"
    "Question: {}?\nOptions: {}\nAnswer: {}\nYour output: "
)


def prompt(sample: Sample) -> str:
    """The hint, where there is one, the question and its options."""
    hint = detail(sample.details, "hint")
    cells = {letter: detail(sample.details, letter) for letter in _LETTERS}
    options = "".join(f"\n{letter}. {text}" for letter, text in cells.items() if text and text != _ABSENT)
    before = f"{hint} " if hint and hint != _ABSENT else ""
    asked = f"{before}{sample.question} There are several options:{options}"
    return f"{asked}\n\nAnswer with the option's letter from the given choices directly."


def rule(item: GradeItem, prediction: str) -> float | Inquiry:
    """Whether the option that a prediction names is the right one, or the question which it means."""
    text, options = prediction.strip(), _options(item)
    letter = chosen(text, options)
    if letter is not None:
        return float(letter == item.answer)
    return Inquiry(
        text=_MATCHED.format(item.question, _listed(options), text), read=partial(_read, options, item.answer)
    )


def _read(options: Mapping[str, str], answer: str, reply: str) -> float | None:
    letter = chosen(reply.strip(), options)
    return None if letter is None else float(letter == answer)


def _options(item: GradeItem) -> dict[str, str]:
    """The first four options; a place that is "nan" is one, as lmms-eval takes it."""
    return {letter: text for letter in _LETTERS[:4] if (text := detail(item.details, letter))}


def _listed(options: Mapping[str, str]) -> str:
    return "There are several options: \n" + "".join(f"{letter}. {text}\n" for letter, text in options.items())


def chosen(text: str, options: Mapping[str, str]) -> str | None:
    """The option that a text names by its letter or else by its words; None where it names none, or several.

    Odd: a letter is a word of its own, also the A of "A dog", which counts as a letter in a text of up to three words.
    """
    return _by_letter(text) or _by_words(text, options)


def _by_letter(text: str) -> str | None:
    words = text.split()
    bare = [letter for letter in _LETTERS if letter in words]
    if len(bare) == 1 and not ("A" in words and len(words) > 3):
        return bare[0]
    for sign in _SIGNS:
        marked = [letter for letter in _LETTERS if sign.format(letter) in words]
        if len(marked) == 1:
            return marked[0]
    return None


def _by_words(text: str, options: Mapping[str, str]) -> str | None:
    said = [letter for letter, words in options.items() if words.lower() in text.lower()]
    return said[0] if len(said) == 1 else None


def circular(answers: Sequence[Answer], bootstrap: Bootstrap) -> Interval:
    """The share of questions whose every rotation was answered rightly."""
    return score_interval([score for _, score in _questions(answers)], bootstrap)


def ability_shares(answers: Sequence[Answer]) -> Mapping[str, float]:
    """The same by ability, and the share of right answers when each rotation counts by itself."""
    scores: dict[str, list[float]] = defaultdict(list)
    for ability, score in _questions(answers):
        scores[ability].append(score)
    shares = {ability: sum(found) / len(found) for ability, found in sorted(scores.items())}
    single = sum(answer.score for answer in answers) / len(answers) if answers else 0.0
    return {"single": single, **shares}


def _questions(answers: Sequence[Answer]) -> list[tuple[str, float]]:
    """Ability and score of each question of which an answer was graded."""
    groups: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        groups[str(int(answer.id) % _ROTATION) if answer.id.isdecimal() else answer.id].append(answer)
    return [(found[0].family, min(one.score for one in found)) for found in groups.values()]
