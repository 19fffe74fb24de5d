"""The figures under which public benchmarks are published, beside the mean score. Pure.

Rule: computed from the answers that are kept, as lmms-eval 0.7.3 aggregates them; a figure that its parts do not give
is left out, never guessed.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from visionthink.evaluation.answer import Answer
from visionthink.evaluation.benchmarks.scores import said_yes_or_no

Official: TypeAlias = Callable[[Sequence[Answer]], Mapping[str, float]]

PERCEPTION: Final = ("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork")
COGNITION: Final = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")


def no_figures(answers: Sequence[Answer]) -> Mapping[str, float]:
    """Nothing but the mean score."""
    return {}


def by_kind(answers: Sequence[Answer]) -> Mapping[str, float]:
    """The mean score of each kind of question: ChartQA's human and augmented split."""
    scores: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        scores[answer.family].append(answer.score)
    return {kind: sum(found) / len(found) for kind, found in sorted(scores.items())}


def ocrbench_points(answers: Sequence[Answer]) -> Mapping[str, float]:
    """Points of 1000, a question each, in all and by kind of question."""
    points = Counter[str]()
    for answer in answers:
        points[answer.family] += int(answer.score)
    return {"points": float(points.total()), **{kind: float(points[kind]) for kind in sorted(points)}}


def yes_no_figures(answers: Sequence[Answer]) -> Mapping[str, float]:
    """POPE: precision, recall and F1 of "yes", and the share of "yes" among the right answers (arXiv 2305.10355)."""
    pairs = Counter((said_yes_or_no(answer.want), said_yes_or_no(answer.got or "")) for answer in answers)
    said, right = pairs["yes", "yes"] + pairs["no", "yes"], pairs["yes", "yes"]
    missed = pairs["yes", "no"]
    precision, recall = _share(right, said), _share(right, right + missed)
    wanted_yes = sum(count for (want, _), count in pairs.items() if want == "yes")
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        "yes_ratio": _share(wanted_yes, pairs.total()),
    }


def mme_points(answers: Sequence[Answer]) -> Mapping[str, float]:
    """MME: by category, the share of right answers and of pictures with both right, each in percent, added up.

    Both questions of a picture have its id; a picture of which only one was answered is left out (arXiv 2306.13394).
    """
    pictures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        pictures[answer.family][re.sub(r"#\d+$", "", answer.id)].append(answer.score)
    points = {}
    for category, found in sorted(pictures.items()):
        pairs = [scores for scores in found.values() if len(scores) == 2]
        if pairs:
            points[category] = sum(50.0 * sum(pair) + 100.0 * (sum(pair) == 2) for pair in pairs) / len(pairs)
    cognition = sum(value for category, value in points.items() if category in COGNITION)
    perception = sum(points.values()) - cognition
    return {"total": perception + cognition, "perception": perception, "cognition": cognition, **points}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
