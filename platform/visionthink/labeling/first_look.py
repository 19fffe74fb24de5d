"""Learns from labels how likely a call is, given a question's words and its picture's size.

Rule: what is learned is what the policy will be taught, so only samples with a label take part. The probabilities are
calibrated on questions whose wording took no part, because a wording that is known by heart is forecast too surely. The
result is a logistic model in plain numbers: whoever uses it needs no scikit-learn.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from visionthink.core.first_look import CallForecast, features_of
from visionthink.core.geometry import Size
from visionthink.core.json_value import Json
from visionthink.labeling.calibration import Calibration, calibration_of

_MIN_OF_EACH: Final = 20
"""Samples of either label below which the shares among them say too little."""
_NUM_FOLDS: Final = 5
_MAX_FAMILIES: Final = 10
"""That are kept apart each on its own; of more, several together."""
_MAX_FEATURES: Final = 4096
_MIN_SAMPLES: Final = 2
"""In which a feature stands; what stands in one alone is no more than that sample's name."""
_DIGITS: Final = 6
"""Of a weight: more would differ from machine to machine."""
_MAX_ITERATIONS: Final = 1000

_Split: TypeAlias = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A sample with a label, as the forecast sees it."""

    question: str
    size: Size
    """Of the upright picture."""
    family: str
    needed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A forecast, and how far it can be believed."""

    forecast: CallForecast
    num_samples: int
    unseen_questions: Calibration | None
    """On questions of other words, of families that took part."""
    unseen_families: Calibration | None
    """On families that took no part; None where there are too few of them."""

    def to_dict(self) -> dict[str, Json]:
        """The forecast as it stands in a model's folder, with what was measured of it."""
        measured: dict[str, Json] = {
            "num_samples": self.num_samples,
            "unseen_questions": self.unseen_questions.to_dict() if self.unseen_questions else None,
            "unseen_families": self.unseen_families.to_dict() if self.unseen_families else None,
        }
        return {**self.forecast.to_dict(), "measured": measured}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlearnable:
    """No forecast can be made."""

    reason: str


def learn_forecast(cases: Sequence[Case]) -> Learned | Unlearnable:
    """The forecast that the labels teach, or why they teach none."""
    try:
        import sklearn  # noqa: F401
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        return Unlearnable(reason=f"it needs {error.name}; install visionthink[label]")
    for needed in (True, False):
        found = [case for case in cases if case.needed is needed]
        if len(found) < _MIN_OF_EACH:
            name = "needed" if needed else "not needed"
            return Unlearnable(reason=f"{len(found)} samples are labelled {name}, and it takes {_MIN_OF_EACH}")
    with threadpool_limits(1):  # these are small sums: more threads wait for each other longer than they add
        return _learned(cases)


def _learned(cases: Sequence[Case]) -> Learned | Unlearnable:
    forecast = _fitted(cases)
    if forecast is None:
        return Unlearnable(
            reason="questions that take no part in the learning are told no better than by lot; more different "
            "questions of either label may help"
        )
    return Learned(
        forecast=forecast,
        num_samples=len(cases),
        unseen_questions=_measured(cases, [case.question for case in cases]),
        unseen_families=_measured(cases, [case.family for case in cases], _MAX_FAMILIES),
    )


def _fitted(cases: Sequence[Case]) -> CallForecast | None:
    """The calibrated forecast; None where no question can be kept apart, or those that are prove it wrong."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression

    needed = np.array([case.needed for case in cases])
    splits = list(_splits(cases, [case.question for case in cases]))
    if not splits or not all(_has_both(needed[train]) for train, _ in splits):
        return None
    found = [features_of(case.question, case.size) for case in cases]
    known = _known(found)
    vectorizer = DictVectorizer()
    matrix = vectorizer.fit_transform([{name: one[name] for name in one if name in known} for one in found])
    # With ensemble=False one model learns from all samples, and one sigmoid from what was kept apart.
    model = CalibratedClassifierCV(LogisticRegression(max_iter=_MAX_ITERATIONS), cv=splits, ensemble=False)
    model.fit(matrix, needed)
    return _as_one(model.calibrated_classifiers_[0], vectorizer)


def _as_one(calibrated: Any, vectorizer: Any) -> CallForecast | None:
    """The logistic model and its sigmoid, which is another one on top, as a single logistic model.

    None where the sigmoid falls: then what looked likelier came true more seldom.
    """
    (sigmoid,) = calibrated.calibrators
    slope, shift = -float(sigmoid.a_), -float(sigmoid.b_)
    if slope <= 0:
        return None
    linear = calibrated.estimator
    weights = {
        str(name): round(slope * float(weight), _DIGITS)
        for name, weight in zip(vectorizer.get_feature_names_out(), linear.coef_[0], strict=True)
    }
    return CallForecast(bias=round(slope * float(linear.intercept_[0]) + shift, _DIGITS), weights=weights)


def _known(found: Sequence[dict[str, float]]) -> frozenset[str]:
    """The features that stand in enough samples, the most frequent ones where they are too many."""
    counts = Counter(name for one in found for name in one)
    often = sorted((-count, name) for name, count in counts.items() if count >= _MIN_SAMPLES)
    return frozenset(name for _, name in often[:_MAX_FEATURES])


def _splits(cases: Sequence[Case], groups: Sequence[str], num_folds: int = _NUM_FOLDS) -> Iterator[_Split]:
    """Places to learn from and to be tried on, no group on both sides; nothing where a label has a single group."""
    from sklearn.model_selection import StratifiedGroupKFold

    needed = [case.needed for case in cases]
    sides = [{group for group, one in zip(groups, needed, strict=True) if one is side} for side in (True, False)]
    if min(map(len, sides)) >= 2:
        folds = StratifiedGroupKFold(min(num_folds, len(sides[0] | sides[1])))
        yield from folds.split(np.zeros(len(cases)), needed, groups)


def _measured(cases: Sequence[Case], groups: Sequence[str], num_folds: int = _NUM_FOLDS) -> Calibration | None:
    """The forecasts of cases whose group took no part; None where no group can be kept apart."""
    said: list[float] = []
    happened: list[bool] = []
    for train, tried in _splits(cases, groups, num_folds):
        forecast, kept_apart = _fitted([cases[place] for place in train]), [cases[place] for place in tried]
        share = sum(cases[place].needed for place in train) / len(train)  # all that is known where nothing is learned
        said += [share if forecast is None else forecast.probability(one.question, one.size) for one in kept_apart]
        happened += [one.needed for one in kept_apart]
    return calibration_of(said, happened)


def _has_both(needed: np.ndarray) -> bool:
    return bool(needed.any() and not needed.all())
