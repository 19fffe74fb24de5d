"""Supervised phases begin gently and end slowly."""

import pytest

from visionthink.model.schedule import cosine_rate

NUM_STEPS = 400
RATES = [cosine_rate(step, NUM_STEPS, 2e-3) for step in range(NUM_STEPS)]


def test_the_rate_rises_to_the_peak_and_falls_to_a_twentieth() -> None:
    assert RATES[0] == pytest.approx(2e-3 / 50)
    assert max(RATES) == pytest.approx(2e-3, rel=0.05)
    assert RATES.index(max(RATES)) == 49
    assert RATES[-1] == pytest.approx(2e-3 / 20, rel=0.01)


def test_the_rate_has_one_peak() -> None:
    assert RATES[:50] == sorted(RATES[:50])
    assert RATES[49:] == sorted(RATES[49:], reverse=True)


def test_the_rate_is_in_proportion_to_the_peak() -> None:
    assert cosine_rate(100, NUM_STEPS, 1.0) == pytest.approx(500 * RATES[100])


def test_a_single_step_has_a_rate() -> None:
    assert 0 < cosine_rate(0, 1, 1.0) < 1
