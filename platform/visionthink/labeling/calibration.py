"""How far forecast probabilities can be believed. Pure.

Rule: only forecasts of what took no part in making the forecaster are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from visionthink.core.json_value import Json

_NUM_BINS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Forecasts of about the same probability."""

    num_samples: int
    forecast: float
    """Their mean."""
    happened: float
    """The share of them that came true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Forecasts against what happened."""

    brier: float
    """Mean squared difference: 0 is perfect, 0.25 is what always saying one half gets."""
    error: float
    """Mean distance between the forecast and the share that came true, over the bins."""
    bins: tuple[Bin, ...]
    """By rising forecast; empty ones left out."""

    def to_dict(self) -> dict[str, Json]:
        """The measurement as JSON."""
        bins: list[Json] = [
            {"num_samples": one.num_samples, "forecast": one.forecast, "happened": one.happened} for one in self.bins
        ]
        return {"brier": self.brier, "error": self.error, "bins": bins}


def calibration_of(forecasts: Sequence[float], happened: Sequence[bool]) -> Calibration | None:
    """Forecasts held against what happened; None where there are none."""
    if not forecasts:
        return None
    said, was = np.asarray(forecasts, dtype=float), np.asarray(happened, dtype=float)
    places = np.minimum((said * _NUM_BINS).astype(int), _NUM_BINS - 1)
    bins = tuple(
        Bin(
            num_samples=int(chosen.sum()),
            forecast=float(said[chosen].mean()),
            happened=float(was[chosen].mean()),
        )
        for number in range(_NUM_BINS)
        if (chosen := places == number).any()
    )
    return Calibration(
        brier=float(((said - was) ** 2).mean()),
        error=sum(one.num_samples * abs(one.forecast - one.happened) for one in bins) / len(said),
        bins=bins,
    )
