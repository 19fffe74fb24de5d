"""What holds of every batch's advantages, and that veRL computes the same numbers."""

import json
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.core import group_advantages

ORACLE = Path(__file__).parents[2] / "oracles" / "verl_grpo.py"

rewards = st.floats(-2, 2) | st.sampled_from([0.0, 0.5, 0.9, 1.4, 1.5])
batches = st.lists(st.tuples(st.lists(rewards, min_size=1, max_size=16), st.booleans()), max_size=6)


@given(batches, st.booleans())
def test_kept_groups_sum_to_zero_and_dropped_ones_are_zero(batch: list[tuple[list[float], bool]], norm: bool) -> None:
    got = group_advantages([group for group, _ in batch], [failed for _, failed in batch], normalise=norm)
    assert got.num_kept + got.num_zero_variance + got.num_judge_failed == len(batch)
    for (group, failed), values, kept in zip(batch, got.values, got.kept, strict=True):
        assert len(values) == len(group)
        assert sum(values) == pytest.approx(0, abs=1e-6)
        if kept:
            assert not failed
            assert max(values) > 0 > min(values)
        else:
            assert set(values) == {0.0}


@given(st.lists(rewards, min_size=2, max_size=16), st.floats(0.5, 2), st.floats(-3, 3))
def test_normalised_advantages_ignore_scale_and_offset(group: list[float], scale: float, offset: float) -> None:
    moved = group_advantages([[reward * scale + offset for reward in group]], [False], eps=0)
    plain = group_advantages([group], [False], eps=0)
    if plain.num_kept and moved.num_kept:
        assert moved.values[0] == pytest.approx(plain.values[0], abs=1e-6)


@given(st.lists(rewards, min_size=2, max_size=16))
def test_better_rewards_have_better_advantages(group: list[float]) -> None:
    (values,) = group_advantages([group], [False]).values
    if any(values):
        assert [values[place] for place in np.argsort(group, kind="stable")] == sorted(values)


@pytest.mark.slow
def test_verl_computes_the_same_advantages(verl_python: Path) -> None:
    """One process for all cases: veRL needs many seconds to be imported. Groups that are dropped here are left out."""
    chance = random.Random(0)
    cases = [
        {
            "op": "grpo_advantage",
            "rewards": [
                [chance.choice([0.0, 0.4, 0.5, 0.9, 1.0, 1.4, 1.5]) + shift for _ in range(chance.randint(2, 16))]
                for shift in (0.0, chance.uniform(-1, 1), 0.0)
            ],
            "eps": chance.choice([1e-6, 1e-4]),
            "normalise": normalise,
        }
        for normalise in (True, False)
        for _ in range(50)
    ]
    done = subprocess.run(
        [verl_python, ORACLE], input=json.dumps(cases), capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    num_compared = 0
    for case, want in zip(cases, json.loads(done.stdout), strict=True):
        groups, eps, normalise = case["rewards"], case["eps"], case["normalise"]
        assert isinstance(groups, list)
        assert isinstance(eps, float)
        got = group_advantages(groups, [False] * len(groups), eps=eps, normalise=bool(normalise))
        for values, kept, theirs in zip(got.values, got.kept, want["values"], strict=True):
            num_compared += kept
            assert not kept or values == pytest.approx(theirs, rel=1e-9, abs=1e-12)
    assert num_compared > 250
