"""How sure a number is: 95 % intervals. Pure.

Rule: seeded, so that the same answers give the same interval, and linear in the answers with constant memory beside
them. A resample only matters by how often it holds each value, so the counts of the different values are drawn
(multinomial, which is what drawing samples with replacement comes to), a block of resamples at a time. A ratio of two
contenders is drawn in pairs, because both answered the same samples.

A share of right and wrong answers takes Wilson's score interval instead: where all 600 of 600 answers are right every
resample is right too, and a bootstrap would claim 100 % to 100 %. Sources: Wilson, "Probable inference, the law of
succession, and statistical inference", JASA 22 (1927) 209-212; Brown, Cai and DasGupta, "Interval estimation for a
binomial proportion", Statistical Science 16 (2001) 101-133, who recommend it; Efron and Tibshirani, "An introduction to
the bootstrap" (1993), chapter 13, for the percentile interval.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visionthink.report.record import Interval

_ENDS: Final = (2.5, 97.5)
_Z: Final = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""
_BLOCK_CELLS: Final = 1_000_000
"""Counts that are drawn at a time: 8 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """How samples are drawn again."""

    num_bootstraps: int
    seed: int

    def counts(self, sizes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """How often each value is drawn, in blocks of resamples [resamples, values]; `sizes` counts it in the data."""
        rng = np.random.default_rng(self.seed)
        num_samples = int(sizes.sum())
        per_block = max(1, _BLOCK_CELLS // len(sizes))
        for start in range(0, self.num_bootstraps, per_block):
            num = min(per_block, self.num_bootstraps - start)
            yield rng.multinomial(num_samples, sizes / num_samples, size=num)


def score_interval(scores: Sequence[float], bootstrap: Bootstrap) -> Interval:
    """The mean of scores from 0 to 1: Wilson's interval for right and wrong, resampled where there is partial credit.

    Equal partial scores have no spread to resample; they too get Wilson's interval, the widest that a mean can need.
    """
    if not scores:
        return Interval(value=0.0, low=0.0, high=0.0)
    data = np.asarray(scores, dtype=np.float64)
    if np.isin(data, (0.0, 1.0)).all() or (data == data[0]).all():
        return wilson_interval(float(data.mean()), len(data))
    return mean_interval(scores, bootstrap)


def wilson_interval(share: float, num: int) -> Interval:
    """A share of `num` samples with its score interval."""
    spread = _Z**2 / num
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / num + spread / (4 * num))
    # At the edges the formula gives the edge itself but for the last digit.
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(value=share, low=min(low, share), high=max(high, share))


def mean_interval(values: Sequence[float], bootstrap: Bootstrap) -> Interval:
    """The mean of `values` and its percentile interval; all 0 for no values."""
    if not values:
        return Interval(value=0.0, low=0.0, high=0.0)
    different, sizes = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    means = [drawn @ different / len(values) for drawn in bootstrap.counts(sizes)]
    return _interval(float(different @ sizes) / len(values), np.concatenate(means))


def ratio_interval(values: Sequence[float], reference: Sequence[float], bootstrap: Bootstrap) -> Interval | None:
    """The mean of `values` over that of `reference`, pair by pair; None where the reference is 0 or empty."""
    if not values or len(values) != len(reference) or not any(reference):
        return None
    pairs = np.column_stack((np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)))
    different, sizes = np.unique(pairs, axis=0, return_counts=True)
    # [resamples, 2]: sums over the values and over the reference.
    sums = np.concatenate([drawn @ different for drawn in bootstrap.counts(sizes)])
    # A draw in which the reference is nothing but zeros has no ratio.
    drawn = sums[sums[:, 1] > 0]
    top, below = sizes @ different
    return _interval(float(top / below), drawn[:, 0] / drawn[:, 1])


def _interval(value: float, means: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(means, _ENDS)
    return Interval(value=value, low=float(low), high=float(high))
