"""The judge that needs no server: compares what was meant, by rule.

Rule: deterministic, offline and strict about content, so that a model cannot earn a reward by hedging. It is the
default on one machine; where answers are free sentences, take the judge that asks a language model.
"""

from dataclasses import replace

from visionthink.judges.answer import choice, normalised, number, options
from visionthink.judges.judge import Grade, GradeItem


class RuleJudge:
    """Grades by normalised text, number with unit, or multiple-choice letter. Never fails."""

    async def grade(self, item: GradeItem) -> Grade:
        """1.0 where the prediction means one of the answers, else 0.0."""
        return Grade(correct=float(any(is_match(replace(item, answer=answer)) for answer in item.answers)))

    async def aclose(self) -> None:
        """Nothing to give back."""


def is_match(item: GradeItem) -> bool:
    """Whether the prediction means the answer."""
    if item.prediction is None or not item.prediction.strip():
        return False
    return _same_text(item.answer, item.prediction) or _same_number(item) or _same_choice(item)


def _same_text(answer: str, prediction: str) -> bool:
    want, got = normalised(answer), normalised(prediction)
    if want in ("yes", "no"):
        words = [word.strip(",.;:!") for word in got.split()]
        return words[:1] == [want] and not ({"yes", "no"} - {want}) & set(words)
    return want == got and want != ""


def _same_number(item: GradeItem) -> bool:
    """Equal values; a unit counts only when both name one."""
    want, got = number(item.answer), number(item.prediction or "")
    if want is None or got is None or want[0] != got[0]:
        return False
    return want[1] == got[1] or "" in (want[1], got[1])


def _same_choice(item: GradeItem) -> bool:
    """The same letter, or one side the letter and the other the text of that option."""
    listed = options(item.question)
    want, got = _chosen(item.answer, listed), _chosen(item.prediction or "", listed)
    return want is not None and want == got


def _chosen(text: str, listed: dict[str, str]) -> str | None:
    """The letter that a text chooses; without listed options only a bare letter ("B", "(B)") counts as a choice."""
    plain = normalised(text)
    for letter, option in listed.items():
        if plain == option:
            return letter
    chosen = choice(text)
    if listed:
        return chosen if chosen in listed else None
    return chosen if len(plain) == 1 else None
