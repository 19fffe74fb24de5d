"""Two contenders on the same questions, and what a perfect choice of the view would have given. Pure.

Rule: pair by pair. Whether one model is better is asked of the questions on which the two differ alone: the sign test,
which for right and wrong is McNemar's exact test, and makes no assumption about how scores are spread.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from visionthink.evaluation.answer import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """How one contender did against another on the questions that both answered."""

    num_samples: int
    difference: float
    """Mean score of the one minus that of the other."""
    won: int
    """Questions on which it scored higher ..."""
    lost: int
    """... and lower."""
    p_value: float
    """How often questions that favour neither would fall at least as unevenly, 0 to 1; small means that it is no
    accident."""


def compared(ours: Sequence[Answer], theirs: Sequence[Answer]) -> Paired | None:
    """`ours` against `theirs`; None where no question was answered by both."""
    by_id = {answer.id: answer for answer in theirs if not answer.failed}
    pairs = [(one, by_id[one.id]) for one in ours if not one.failed and one.id in by_id]
    if not pairs:
        return None
    won = sum(one.score > other.score for one, other in pairs)
    lost = sum(one.score < other.score for one, other in pairs)
    return Paired(
        num_samples=len(pairs),
        difference=sum(one.score - other.score for one, other in pairs) / len(pairs),
        won=won,
        lost=lost,
        p_value=sign_test(won, lost),
    )


def sign_test(won: int, lost: int) -> float:
    """The two-sided p-value of so many wins and losses where both are as likely; 1 where there is neither.

    Exact, by the binomial distribution with logarithms of its terms, so that thousands of questions do not underflow.
    Source: McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 12
    (1947) 153-157, in its exact form.
    """
    num = won + lost
    fewer = min(won, lost)
    logs = [math.lgamma(num + 1) - math.lgamma(k + 1) - math.lgamma(num - k + 1) for k in range(fewer + 1)]
    tail = math.fsum(math.exp(log - num * math.log(2)) for log in logs)
    return min(1.0, 2 * tail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """Choosing the view with knowledge of what the model answers on either: no choice does better."""

    num_samples: int
    accuracy: float
    visual_tokens: float
    """Mean of a question: the quarter view where it does as well, else both, as a model that asks is shown."""


def oracle(quarter: Sequence[Answer], full: Sequence[Answer]) -> Oracle | None:
    """The perfect choice between the answers on the quarter view and on the full one; None without both."""
    by_id = {answer.id: answer for answer in full if not answer.failed}
    pairs = [(low, by_id[low.id]) for low in quarter if not low.failed and low.id in by_id]
    if not pairs:
        return None
    tokens = sum(low.visual_tokens + (high.visual_tokens if high.score > low.score else 0) for low, high in pairs)
    return Oracle(
        num_samples=len(pairs),
        accuracy=sum(max(low.score, high.score) for low, high in pairs) / len(pairs),
        visual_tokens=tokens / len(pairs),
    )
