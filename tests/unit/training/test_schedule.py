"""The rate of reinforcement learning rises, holds and falls."""

from itertools import pairwise

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
    top = got.index(max(got))
    assert got[:top] == sorted(got[:top]) and got[top:] == sorted(got[top:], reverse=True)


@given(st.integers(1, 60), st.integers(0, 80), st.floats(0, 1))
def test_the_rate_never_jumps(num_steps: int, warmup: int, hold: float) -> None:
    got = rates(num_steps=num_steps, warmup_steps=warmup, hold_ratio=hold, final_lr_ratio=0.0)
    rise, fall = PEAK / max(warmup, 1), PEAK / max(num_steps - round(num_steps * hold), 1)
    assert all(after - before <= rise * 1.001 for before, after in pairwise([0.0, *got]))
    assert all(before - after <= fall * 1.001 for before, after in pairwise(got))


def test_a_run_shorter_than_its_warmup_rises_and_falls_without_a_jump() -> None:
    got = rates(num_steps=12, warmup_steps=10, hold_ratio=0.5, final_lr_ratio=0.03)
    want = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert got == pytest.approx([PEAK * share for share in want])


def test_without_warmup_the_rate_starts_at_its_peak() -> None:
    assert rates(num_steps=10, warmup_steps=0)[0] == PEAK


def test_held_to_the_end_the_rate_never_falls() -> None:
    assert set(rates(num_steps=10, warmup_steps=0, hold_ratio=1.0)) == {PEAK}
