"""Whether an episode may begin with the full view, because the model would very likely ask for it anyway.

Rule: the dearer of two beginnings is never chosen in expectation. To ask first costs the first turn, and a further one
as often as the model calls; to begin with the full view costs one turn on it. A forecast of the call, made of the
question's words and the picture's size, and the three costs decide, and nothing else: every stage and the server take
the same decision. Without a forecast an episode begins with the quarter view, as ever.

Source: VisionThink's own tables: with calls on 79 % of ChartQA's questions the loop runs at 0.60 of the full view's
speed. The remedy is ours.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal, Self, TypeAlias

from visionthink.core.geometry import Size, ViewRule, full_view, quarter_view
from visionthink.core.json_value import Json
from visionthink.errors import ConfigError, DataError

FirstLookMode: TypeAlias = Literal["off", "auto", "full"]
"""off: an episode begins with the quarter view. auto: with the full one where the forecast makes that the cheaper
beginning. full: with the full one."""

_WORD: Final = re.compile(r"\w+")
_MAX_WORDS: Final = 256
"""Of a question; a page of text before it says no more about the call, and costs time in each request."""
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LookCosts:
    """What the turns of an episode cost, all in one unit: seconds where they were measured, visual tokens elsewhere."""

    first: float
    """The turn on the quarter view."""
    further: float
    """What a call adds: the turn on the view that was asked for."""
    full: float
    """The one turn of an episode that begins with the full view."""

    def __post_init__(self) -> None:
        """Refuse what is no cost."""
        if not all(math.isfinite(cost) and cost > 0 for cost in (self.first, self.further, self.full)):
            raise ConfigError(
                f"turns cannot cost {self.first:g} (first), {self.further:g} (further) and {self.full:g} (full); give "
                "three costs above 0 in one unit"
            )

    def ask_first(self, call_probability: float) -> float:
        """What an episode costs in expectation when it begins with the quarter view."""
        return self.first + call_probability * self.further

    @property
    def threshold(self) -> float:
        """The probability of a call beyond which the full view is the cheaper beginning, from 0 to 1."""
        return min(1.0, max(0.0, (self.full - self.first) / self.further))


def token_costs(original: Size, rule: ViewRule) -> LookCosts:
    """The visual tokens of a picture's views, for where nobody measured seconds.

    Raises:
        DataError: no view of the picture is possible.
    """
    quarter, full = quarter_view(original, rule).visual_tokens, full_view(original, rule).visual_tokens
    return LookCosts(first=quarter, further=full, full=full)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallForecast:
    """How likely a call is, before the model has seen anything: a logistic model over words, word pairs and size."""

    bias: float
    weights: Mapping[str, float] = field(repr=False)
    """By feature, see `features_of`; a feature that stands not here weighs nothing."""

    def probability(self, question: str, original: Size) -> float:
        """The probability that the model calls, strictly between 0 and 1 or at an end that rounding made of it."""
        found = features_of(question, original)
        logit = self.bias + sum(self.weights.get(name, 0.0) * value for name, value in found.items())
        odds = math.exp(-abs(logit))
        return 1 / (1 + odds) if logit >= 0 else odds / (1 + odds)

    def to_dict(self) -> dict[str, Json]:
        """The forecast as JSON."""
        return {"version": _VERSION, "bias": self.bias, "weights": dict(self.weights)}

    @classmethod
    def from_dict(cls, value: Json) -> Self:
        """Read what `to_dict` made.

        Raises:
            DataError: it is something else.
        """
        match value:
            case {"version": int() as version} if version != _VERSION:
                raise DataError(f"version {version} of it is not known here, only {_VERSION}")
            case {"version": _, "bias": int() | float() as bias, "weights": dict() as weights}:
                numbers = {name: weight for name, weight in weights.items() if isinstance(weight, int | float)}
                if len(numbers) == len(weights) and all(map(math.isfinite, (bias, *numbers.values()))):
                    return cls(bias=float(bias), weights={name: float(weight) for name, weight in numbers.items()})
        raise DataError(f"it has no finite bias and weights, but {str(value)[:80]}")


def features_of(question: str, original: Size) -> dict[str, float]:
    """What a forecast knows of a question: its words and pairs of neighbours, and the size class of the picture.

    Words together have length 1, so that a long question does not shout, and one of unknown words says little. The
    names of sizes hold a sign that no word holds.
    """
    words = _WORD.findall(question.lower())[:_MAX_WORDS]
    counts = Counter([*words, *(" ".join(pair) for pair in pairwise(words))])
    length = math.sqrt(sum(count * count for count in counts.values()))
    pixels = math.log2(original.width * original.height)
    aspect = math.log2(original.width / original.height)
    return {
        **{name: count / length for name, count in counts.items()},
        f"pixels: 2^{round(pixels)}": 1.0,
        f"aspect: 2^{round(aspect)}": 1.0,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class LookDecision:
    """How an episode's first view was chosen."""

    shortcut: bool
    """Whether it is the full view."""
    call_probability: float | None = None
    """As forecast; None where nothing was: the full view was demanded."""
    threshold: float | None = None
    """The probability above which the full view is taken; None with the other one."""

    def to_dict(self) -> dict[str, Json]:
        """The decision as JSON."""
        return {
            "shortcut": self.shortcut,
            "call_probability": self.call_probability,
            "threshold": self.threshold,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLookRule:
    """What decides about the first view, besides the mode and the question."""

    forecast: CallForecast | None = None
    """The model's own; None: the quarter view comes first."""
    costs: LookCosts | None = None
    """As measured; None: each picture's visual tokens."""
    threshold: float | None = None
    """In place of the one that follows from the costs."""

    def decide(self, mode: FirstLookMode, question: str, original: Size, rule: ViewRule) -> LookDecision | None:
        """The decision about an episode that may call; None where there is none to take, and the quarter view comes.

        A picture of which no view is possible is left to the episode, which says so.
        """
        if mode == "full":
            return LookDecision(shortcut=True)
        if mode == "off" or self.forecast is None:
            return None
        probability = self.forecast.probability(question, original)
        if self.threshold is not None:
            return _decision(probability > self.threshold, probability, self.threshold)
        try:
            costs = self.costs or token_costs(original, rule)
        except DataError:
            return None
        return _decision(costs.ask_first(probability) > costs.full, probability, costs.threshold)


def _decision(shortcut: bool, probability: float, threshold: float) -> LookDecision:
    return LookDecision(shortcut=shortcut, call_probability=probability, threshold=threshold)
