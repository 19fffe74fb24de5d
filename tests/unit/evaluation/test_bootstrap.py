import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.evaluation.bootstrap import Bootstrap, mean_interval, ratio_interval

BOOTSTRAP = Bootstrap(num_bootstraps=400, seed=0)


def test_mean_interval_of_a_coin_has_the_width_of_the_binomial() -> None:
    interval = mean_interval([0.0, 1.0] * 200, BOOTSTRAP)
    half = 1.96 * (0.25 / 400) ** 0.5
    assert interval.value == 0.5
    assert interval.low == pytest.approx(0.5 - half, abs=0.012)
    assert interval.high == pytest.approx(0.5 + half, abs=0.012)


def test_mean_interval_repeats_for_a_seed_and_differs_for_another() -> None:
    values = [0.0, 1.0, 1.0] * 30
    assert mean_interval(values, BOOTSTRAP) == mean_interval(values, BOOTSTRAP)
    assert mean_interval(values, BOOTSTRAP) != mean_interval(values, Bootstrap(num_bootstraps=400, seed=1))


def test_mean_interval_of_nothing_is_nothing() -> None:
    interval = mean_interval([], BOOTSTRAP)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_mean_interval_holds_no_more_than_the_values_do(values: list[float]) -> None:
    interval = mean_interval(values, Bootstrap(num_bootstraps=20, seed=0))
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9


def test_ratio_interval_of_rows_that_move_together_is_narrow() -> None:
    reference = [float(value) for value in range(1, 101)]
    interval = ratio_interval([0.5 * value for value in reference], reference, BOOTSTRAP)
    assert interval is not None
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize(("values", "reference"), [([], []), ([1.0], [0.0]), ([1.0, 2.0], [1.0])])
def test_ratio_interval_is_none_where_there_is_no_ratio(values: list[float], reference: list[float]) -> None:
    assert ratio_interval(values, reference, BOOTSTRAP) is None


def test_ratio_interval_leaves_draws_without_a_reference_out() -> None:
    interval = ratio_interval([1.0, 1.0], [0.0, 1.0], BOOTSTRAP)
    assert interval is not None
    assert interval.value == 2.0 and interval.high < 10
