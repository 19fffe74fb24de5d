import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest  # type: ignore[import-untyped]

from visionthink.evaluation.interval import (
    Bootstrap,
    mean_interval,
    ratio_interval,
    score_interval,
    wilson_interval,
)

BOOTSTRAP = Bootstrap(num_bootstraps=400, seed=0)


def test_mean_interval_of_a_coin_has_the_width_of_the_binomial() -> None:
    interval = mean_interval([0.0, 1.0] * 200, BOOTSTRAP)
    half = 1.96 * (0.25 / 400) ** 0.5
    assert interval.value == 0.5
    assert interval.low == pytest.approx(0.5 - half, abs=0.012)
    assert interval.high == pytest.approx(0.5 + half, abs=0.012)


def test_mean_interval_repeats_for_a_seed_and_differs_for_another() -> None:
    values = [1.7**n for n in range(30)]
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


@given(st.lists(st.sampled_from([0.0, 4.0, 20.0]), min_size=1, max_size=40), st.integers(1, 60))
def test_mean_interval_does_not_depend_on_how_many_resamples_are_drawn_at_a_time(
    values: list[float], cells: int
) -> None:
    want = mean_interval(values, BOOTSTRAP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visionthink.evaluation.interval._BLOCK_CELLS", cells)
        assert mean_interval(values, BOOTSTRAP) == want


def test_mean_interval_is_that_of_samples_drawn_with_replacement() -> None:
    rng = np.random.default_rng(5)
    values = rng.choice([4.0, 16.0, 20.0], size=300)
    drawn = values[rng.integers(0, 300, size=(4000, 300))].mean(axis=1)
    interval = mean_interval(values.tolist(), Bootstrap(num_bootstraps=4000, seed=0))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.08)


@given(st.integers(1, 5000), st.data())
def test_share_of_right_answers_has_the_interval_that_scipy_computes(num: int, data: st.DataObject) -> None:
    num_right = data.draw(st.integers(0, num))
    interval = score_interval([1.0] * num_right + [0.0] * (num - num_right), BOOTSTRAP)
    want = binomtest(num_right, num).proportion_ci(method="wilson")
    assert interval.value == pytest.approx(num_right / num)
    assert (interval.low, interval.high) == pytest.approx((want.low, want.high), abs=1e-9)


def test_nothing_but_right_answers_are_not_certain() -> None:
    interval = score_interval([1.0] * 600, BOOTSTRAP)
    assert (interval.value, interval.high) == (1.0, 1.0) and interval.low == pytest.approx(0.99364, abs=1e-5)


def test_partial_credit_is_resampled_and_equal_credit_still_has_an_interval() -> None:
    scores = [0.4, 0.6, 1.0, 0.0] * 50
    assert score_interval(scores, BOOTSTRAP) == mean_interval(scores, BOOTSTRAP)
    alike = score_interval([0.4] * 100, BOOTSTRAP)
    assert alike.low < alike.value < alike.high and alike.value == pytest.approx(0.4)


@given(st.integers(1, 10**6), st.data())
def test_wilsons_interval_holds_its_share_and_stays_a_share(num: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, num)) / num
    interval = wilson_interval(share, num)
    assert 0 <= interval.low <= interval.value == share <= interval.high <= 1
    assert interval.low < interval.high


def test_score_interval_of_nothing_is_nothing() -> None:
    interval = score_interval([], BOOTSTRAP)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)
