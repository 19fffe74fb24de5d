"""How sure a mean is: percentile bootstrap over samples. Pure.

Rule: seeded, so that the same answers give the same interval. Samples are drawn with replacement; a ratio of two rows
is drawn in pairs, because both rows answered the same samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionthink.report.record import Interval

_ENDS = (2.5, 97.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """How samples are drawn again."""

    num_bootstraps: int
    seed: int

    def draws(self, size: int) -> NDArray[np.int64]:
        """Indices [num_bootstraps, size] into `size` samples."""
        return np.random.default_rng(self.seed).integers(0, size, size=(self.num_bootstraps, size))


def mean_interval(values: Sequence[float], bootstrap: Bootstrap) -> Interval:
    """The mean of `values` and its 95 % interval; all 0 for no values."""
    if not values:
        return Interval(value=0.0, low=0.0, high=0.0)
    data = np.asarray(values, dtype=np.float64)
    return _interval(float(data.mean()), data[bootstrap.draws(len(data))].mean(axis=1))


def ratio_interval(values: Sequence[float], reference: Sequence[float], bootstrap: Bootstrap) -> Interval | None:
    """The mean of `values` over that of `reference`, pair by pair; None where the reference is 0 or empty."""
    data, base = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if not len(data) or len(data) != len(base) or base.mean() == 0:
        return None
    drawn = bootstrap.draws(len(data))
    below = base[drawn].mean(axis=1)
    # A draw in which the reference is nothing but zeros has no ratio.
    ratios = data[drawn].mean(axis=1)[below > 0] / below[below > 0]
    return _interval(float(data.mean() / base.mean()), ratios)


def _interval(value: float, means: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(means, _ENDS)
    return Interval(value=value, low=float(low), high=float(high))
