"""How far the rule and a language model agree on the same answers.

Rule: only answers on which both came to a verdict are compared; what the rule cannot tell and what the language model
failed on is counted apart, and is neither agreement nor disagreement. Chance is taken out by Cohen's kappa: two judges
that call nearly everything right agree on nearly everything, and that says nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from visionthink.core.json_value import Json
from visionthink.judges.judge import GradeItem, Judge
from visionthink.judges.rule import tell
from visionthink.judges.told import Told

_VERDICTS: Final = (Told.RIGHT, Told.WRONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An answer, and what both say of it."""

    item: GradeItem
    rule: Told
    language: Told
    """UNTOLD where the language model failed."""

    @property
    def is_told_by_both(self) -> bool:
        """Whether there is something to compare."""
        return Told.UNTOLD not in (self.rule, self.language)

    def to_dict(self) -> dict[str, Json]:
        """The answer as JSON."""
        return {
            "question": self.item.question,
            "answers": list(self.item.answers),
            "prediction": self.item.prediction,
            "rule": self.rule.value,
            "language_model": "failed" if self.language is Told.UNTOLD else self.language.value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What a comparison came to."""

    counts: Mapping[tuple[Told, Told], int]
    """Answers by what the rule and the language model say."""
    disagreements: tuple[Judged, ...]
    """Answers that one calls right and the other wrong."""

    @property
    def num_both(self) -> int:
        """Answers that both told."""
        return sum(self._of(rule, language) for rule in _VERDICTS for language in _VERDICTS)

    @property
    def agreement_ratio(self) -> float | None:
        """Share of these on which they agree; None where there are none."""
        agreed = sum(self._of(verdict, verdict) for verdict in _VERDICTS)
        return agreed / self.num_both if self.num_both else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa, 1 for agreement and 0 for what chance gives; None where both call all of them the same.

        Source: Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20
        (1960) 37-46.
        """
        num, agreed = self.num_both, self.agreement_ratio
        if agreed is None:
            return None
        chance = sum(
            sum(self._of(verdict, other) for other in _VERDICTS) * sum(self._of(other, verdict) for other in _VERDICTS)
            for verdict in _VERDICTS
        ) / (num * num)
        return None if chance == 1 else (agreed - chance) / (1 - chance)

    def _of(self, rule: Told, language: Told) -> int:
        return self.counts.get((rule, language), 0)

    def to_dict(self) -> dict[str, Json]:
        """The comparison as JSON."""
        table: dict[str, Json] = {
            rule.value: {
                "failed" if language is Told.UNTOLD else language.value: self._of(rule, language) for language in Told
            }
            for rule in Told
        }
        return {
            "rule_by_language_model": table,
            "num_both": self.num_both,
            "agreement_ratio": self.agreement_ratio,
            "kappa": self.kappa,
            "disagreements": [one.to_dict() for one in self.disagreements],
        }


def agreement_of(judged: Iterable[Judged]) -> Agreement:
    """The comparison of answers that both have judged."""
    found = tuple(judged)
    return Agreement(
        counts=Counter((one.rule, one.language) for one in found),
        disagreements=tuple(one for one in found if one.is_told_by_both and one.rule is not one.language),
    )


def judged_before(item: GradeItem, correct: float | None) -> Judged:
    """An item with the verdict that a language model gave of it, None where it gave none; the rule is asked now."""
    language = Told.UNTOLD if correct is None else Told.RIGHT if correct >= 1 else Told.WRONG
    return Judged(item=item, rule=tell(item), language=language)


async def judged_now(items: Sequence[GradeItem], judge: Judge, on_grade: Callable[[], None]) -> list[Judged]:
    """What the rule and `judge` say of each item; `on_grade` is told of each.

    Raises:
        JudgeError: nothing can be graded before the user mends something.
    """

    async def one(item: GradeItem) -> Judged:
        grade = await judge.grade(item)
        on_grade()
        return judged_before(item, None if grade.failed else grade.correct)

    tasks = [asyncio.create_task(one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
