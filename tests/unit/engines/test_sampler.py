"""Draws follow the model's distribution, and each row has its own luck."""

import pytest
import torch

from visionthink.engines.engine import Sampling
from visionthink.engines.sampler import RowSampler, StopWhen

SCORES = torch.tensor([2.0, 1.0, 0.0, -1.0, -3.0])
NOTHING = torch.zeros(5, dtype=torch.bool)


def draws(num_draws: int, sampling: Sampling, forbidden: torch.Tensor = NOTHING, seed: int = 7) -> torch.Tensor:
    sampler = RowSampler([sampling], [seed], forbidden)
    no_ids = torch.zeros(1, 1, dtype=torch.int64)
    return torch.cat([sampler(no_ids, SCORES[None].clone()).argmax(-1) for _ in range(num_draws)])


def shares(drawn: torch.Tensor) -> torch.Tensor:
    return torch.bincount(drawn, minlength=5) / len(drawn)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    got = shares(draws(6000, Sampling(temperature=temperature)))
    want = (SCORES / temperature).softmax(-1)
    torch.testing.assert_close(got, want, rtol=0, atol=0.02)


def test_draws_stay_within_top_p() -> None:
    got = shares(draws(4000, Sampling(top_p=0.8)))
    kept = SCORES[:2].softmax(-1)  # 0.64 and 0.24 of the whole: together the first to reach 0.8
    torch.testing.assert_close(got, torch.cat([kept, torch.zeros(3)]), rtol=0, atol=0.02)


def test_a_tiny_top_p_keeps_the_likeliest_token() -> None:
    assert set(draws(50, Sampling(top_p=1e-6)).tolist()) == {0}


def test_draws_stay_within_top_k() -> None:
    got = shares(draws(4000, Sampling(top_k=2)))
    torch.testing.assert_close(got, torch.cat([SCORES[:2].softmax(-1), torch.zeros(3)]), rtol=0, atol=0.02)


def test_draws_stay_within_min_p() -> None:
    got = shares(draws(4000, Sampling(min_p=0.1)))  # e**-2 of the likeliest is more, e**-3 is less
    torch.testing.assert_close(got, torch.cat([SCORES[:3].softmax(-1), torch.zeros(2)]), rtol=0, atol=0.02)


def test_top_p_is_of_what_top_k_leaves() -> None:
    assert set(draws(500, Sampling(top_k=2, top_p=0.8)).tolist()) == {0, 1}
    assert set(draws(500, Sampling(top_k=2, top_p=0.7)).tolist()) == {0}


def test_temperature_zero_takes_the_likeliest_token_that_is_allowed() -> None:
    assert set(draws(20, Sampling(temperature=0.0)).tolist()) == {0}
    forbidden = torch.tensor([True, False, False, False, False])
    assert set(draws(20, Sampling(temperature=0.0), forbidden).tolist()) == {1}


def test_a_forbidden_token_is_never_drawn() -> None:
    forbidden = torch.tensor([True, False, True, False, False])
    assert set(draws(500, Sampling(temperature=5.0), forbidden).tolist()) == {1, 3, 4}


def test_a_row_draws_the_same_in_any_company() -> None:
    alone = draws(40, Sampling(), seed=3)
    sampler = RowSampler([Sampling(temperature=0.0), Sampling(top_p=0.5), Sampling()], [1, 2, 3], NOTHING)
    scores = SCORES.expand(3, 5)
    together = torch.stack([sampler(torch.zeros(3, 1, dtype=torch.int64), scores).argmax(-1) for _ in range(40)])
    assert torch.equal(together[:, 2], alone)
    assert not torch.equal(draws(40, Sampling(), seed=4), alone)


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    draws(3, Sampling())
    assert torch.equal(torch.get_rng_state(), before)


def test_stop_when_ends_the_rows_that_are_done() -> None:
    criteria = StopWhen(lambda row: row == 1)
    assert criteria(torch.zeros(3, 4), torch.zeros(3, 5)).tolist() == [False, True, False]
