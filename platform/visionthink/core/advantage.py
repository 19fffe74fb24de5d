"""How much better a rollout was than the others of its sample (GRPO).

Rule: a group that teaches nothing is dropped and counted, never trained on with made-up numbers. It teaches nothing
when all of its rewards are the same, or when the judge failed on one of its rollouts: a failed judge is not a wrong
answer.

Source: VisionThink 3.1; the numbers agree with veRL's ``compute_grpo_outcome_advantage`` (a test compares them).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visionthink.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Advantages:
    """Advantages of a batch of groups, and what was left out of it."""

    values: tuple[tuple[float, ...], ...]
    """``[group][rollout]``; 0 in dropped groups, sums to 0 in kept ones. One number for all of a rollout's tokens."""
    kept: tuple[bool, ...]
    """``[group]``; train on these only."""
    num_zero_variance: int
    """Groups dropped for equal rewards."""
    num_judge_failed: int
    """Groups dropped for a failed judge, whatever their rewards."""

    @property
    def num_kept(self) -> int:
        """Groups to train on."""
        return sum(self.kept)


def group_advantages(
    rewards: Sequence[Sequence[float]],
    failed: Sequence[bool],
    *,
    min_std: float = 1e-4,
    eps: float = 1e-6,
    normalise: bool = True,
) -> Advantages:
    """Centre each group's rewards, and divide by their spread.

    Args:
        rewards: ``[group][rollout]``; groups may differ in size. A group of one has no spread and is dropped.
        failed: ``[group]``; whether the judge failed on any of the group's rollouts.
        min_std: groups with a smaller standard deviation (unbiased, as in veRL) are dropped.
        eps: added to the standard deviation before dividing by it.
        normalise: whether to divide at all; without, large and small spreads weigh as they are (Dr. GRPO).

    Raises:
        DataError: a group is empty, a reward of a kept group is not finite, or the lengths differ.
    """
    if len(rewards) != len(failed):
        raise DataError(f"{len(rewards)} groups of rewards but {len(failed)} failed marks; give one mark a group")
    stds = [
        0.0 if has_failed else _std(group, index)
        for index, (group, has_failed) in enumerate(zip(rewards, failed, strict=True))
    ]
    kept = tuple(not has_failed and std >= min_std for std, has_failed in zip(stds, failed, strict=True))
    values = tuple(
        _centred(group, std + eps if normalise else 1.0) if is_kept else (0.0,) * len(group)
        for group, std, is_kept in zip(rewards, stds, kept, strict=True)
    )
    num_failed = sum(failed)
    return Advantages(
        values=values, kept=kept, num_zero_variance=len(kept) - sum(kept) - num_failed, num_judge_failed=num_failed
    )


def _std(group: Sequence[float], index: int) -> float:
    if not group or not np.isfinite(group).all():
        raise DataError(f"group {index} of rewards is empty or not finite: {list(group)}; look at its grading")
    return float(np.std(group, ddof=1)) if len(group) > 1 else 0.0


def _centred(group: Sequence[float], scale: float) -> tuple[float, ...]:
    values = np.asarray(group, dtype=np.float64)
    return tuple(((values - values.mean()) / scale).tolist())
