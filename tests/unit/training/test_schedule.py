"""The rate of reinforcement learning rises, holds and falls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.config import TrainConfig
from visionthink.training.local.schedule import learning_rate

PEAK = 1e-4


def rates(**settings: float) -> list[float]:
    config = TrainConfig(**{"learning_rate": PEAK, **settings})
    return [learning_rate(step, config) for step in range(config.num_steps)]


def test_the_rate_rises_holds_and_falls() -> None:
    got = rates(num_steps=100, warmup_steps=10, hold_ratio=0.5, final_lr_ratio=0.03)
    assert got[:10] == pytest.approx([PEAK * (step + 1) / 10 for step in range(10)])
    assert got[10:50] == [PEAK] * 40
    assert got[50:97] == pytest.approx([PEAK * (1 - step / 50) for step in range(47)])
    assert got[99] == pytest.approx(0.03 * PEAK)


@given(st.integers(1, 300), st.integers(0, 50), st.floats(0, 1), st.floats(0, 1))
def test_the_rate_stays_between_its_ends(num_steps: int, warmup: int, hold: float, last: float) -> None:
    got = rates(num_steps=num_steps, warmup_steps=warmup, hold_ratio=hold, final_lr_ratio=last)
    assert all(0 <= rate <= PEAK for rate in got)
    fall = got[round(num_steps * hold) :]
    assert fall == sorted(fall, reverse=True)


def test_without_warmup_the_rate_starts_at_its_peak() -> None:
    assert rates(num_steps=10, warmup_steps=0)[0] == PEAK


def test_held_to_the_end_the_rate_never_falls() -> None:
    assert set(rates(num_steps=10, warmup_steps=0, hold_ratio=1.0)) == {PEAK}
