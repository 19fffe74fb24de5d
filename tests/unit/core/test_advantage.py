"""Advantages: what is dropped and counted, and what refuses to be trained on."""

import pytest

from visionthink.core import group_advantages
from visionthink.errors import DataError


def test_advantage_is_the_distance_from_the_mean_in_unbiased_deviations() -> None:
    got = group_advantages([[1.5, 0.5, 0.5, 0.5]], [False])
    assert got.values[0] == pytest.approx((1.5, -0.5, -0.5, -0.5), abs=1e-5)  # Mean 0.75, deviation 0.5.
    assert got.kept == (True,)


def test_without_normalising_it_is_the_distance_alone() -> None:
    assert group_advantages([[1.5, 0.5]], [False], normalise=False).values == ((0.5, -0.5),)


def test_dropped_groups_are_counted_by_their_reason() -> None:
    got = group_advantages([[1, 0], [1, 1], [1, 0], [1, 1], [1]], [False, False, True, True, False])
    assert got.kept == (True, False, False, False, False)
    assert (got.num_kept, got.num_zero_variance, got.num_judge_failed) == (1, 2, 2)
    assert got.values[1:] == ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0,))


def test_min_std_is_the_border_of_equal_rewards() -> None:
    nearly_equal = [[1.0, 1.0001]]  # A deviation of 7e-5.
    assert group_advantages(nearly_equal, [False]).kept == (False,)
    assert group_advantages(nearly_equal, [False], min_std=1e-5).kept == (True,)


def test_no_groups_are_no_advantages() -> None:
    assert group_advantages([], []).values == ()


@pytest.mark.parametrize("group", [[], [1.0, float("nan")], [float("inf"), 0.0]], ids=["empty", "nan", "infinite"])
def test_a_group_that_cannot_be_compared_is_refused(group: list[float]) -> None:
    with pytest.raises(DataError, match="group 1 of rewards is empty or not finite"):
        group_advantages([[1, 0], group], [False, False])


def test_a_failed_group_is_dropped_whatever_it_holds() -> None:
    assert group_advantages([[], [float("nan"), 1.0]], [True, True]).num_judge_failed == 2


def test_every_group_needs_its_mark() -> None:
    with pytest.raises(DataError, match="2 groups of rewards but 1 failed marks"):
        group_advantages([[1], [0]], [False])
