"""An update makes good rollouts likelier and bad ones less likely, and leaves dropped groups out."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from tests.unit.engines.tiny_model import tiny_processor
from tests.unit.training.written import ASK, prompt, rollout, saying, small_model

from visionthink.config import TrainConfig
from visionthink.core.trace import Trace
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.training.local.loss import TokenScores, grpo_loss, token_advantages, token_weights
from visionthink.training.local.optimization import DivergedError, UpdateStats, update
from visionthink.training.local.policy import Policy, targets
from visionthink.training.local.rollout import Rollout

RATE = 1e-2
GOOD = rollout(prompt(0), [ASK, saying("A")], 1.0)
BAD = rollout(prompt(0), [saying("C")], -1.0)
DROPPED = rollout(prompt(1), [saying("E")], 0.0, is_kept=False)


def policy(seed: int = 0) -> Policy:
    model = small_model(seed)
    engine = TransformersEngine(model, tiny_processor())
    return Policy(model=model, encoder=engine.encoder, forbidden_ids=engine.forbidden_ids, temperature=1.0)


def config(**settings: Any) -> TrainConfig:
    return TrainConfig(**{"kl_weight": 0.0, "max_grad_norm": 1e9, **settings})


def updated(made: Policy, rollouts: Sequence[Rollout], settings: TrainConfig, *, base: int = 0) -> UpdateStats:
    optimizer = torch.optim.SGD(made.model.parameters(), lr=RATE)
    return update(made, policy(base), optimizer, rollouts, settings)


def change(rollouts: Sequence[Rollout], settings: TrainConfig, *, base: int = 0) -> torch.Tensor:
    """How an update moves the weights, as one long vector."""
    made, start = policy(), policy()
    updated(made, rollouts, settings, base=base)
    pairs = zip(made.model.parameters(), start.model.parameters(), strict=True)
    return torch.cat([(new - old).detach().flatten() for new, old in pairs])


def log_prob(made: Policy, item: Rollout) -> float:
    batch = made.batch([item])
    with torch.no_grad():
        return made.score(batch).log_probs[targets(batch)].sum().item()


def per_token(made: Policy, item: Rollout) -> float:
    return log_prob(made, item) / item.finish.trace.num_reply_tokens


def test_an_update_follows_the_advantages() -> None:
    made = policy()
    before = [log_prob(made, item) for item in (GOOD, BAD)]
    updated(made, [GOOD, BAD], config())
    after = [log_prob(made, item) for item in (GOOD, BAD)]
    assert after[0] > before[0] and after[1] < before[1]


@pytest.mark.parametrize(
    ("advantages", "moves"), [((1.0, 0.0), (True, False)), ((0.0, 1.0), (False, True))], ids=["asking", "answering"]
)
def test_the_advantage_of_a_turn_moves_the_tokens_of_that_turn(
    advantages: tuple[float, float], moves: tuple[bool, bool]
) -> None:
    """The gradient by the scores: anything but 0 on the tokens of the one turn, and 0 on those of the other."""
    made, item = policy(), replace(GOOD, advantages=advantages)
    batch = made.batch([item])
    mask = targets(batch)
    scores = made.score(batch)
    log_probs = scores.log_probs.detach().requires_grad_()
    loss = grpo_loss(
        TokenScores(log_probs=log_probs, entropy=scores.entropy.detach()),
        old_log_probs=log_probs.detach(),
        reference=None,
        advantages=token_advantages(mask, [item.advantages]),
        weights=token_weights(mask, [int(mask.sum())], "token-mean"),
        clip_ratio=0.2,
        kl_weight=0.0,
    ).loss
    (gradient,) = torch.autograd.grad(loss, log_probs)
    lengths = [turn.reply.num_reply_tokens for turn in item.finish.trace.turns]
    assert mask.sum() == sum(lengths)
    asking, answering = torch.split(gradient[mask], lengths)
    assert (bool((asking != 0).all()), bool((answering != 0).all())) == moves
    assert (bool((asking != 0).any()), bool((answering != 0).any())) == moves


def test_an_update_with_an_advantage_a_turn_is_the_sum_of_updates_with_one_turn_each() -> None:
    """Other rollouts beside it, so that the tokens keep their share."""
    others = [BAD, DROPPED]
    both, asking, answering, neither = (
        change([replace(GOOD, advantages=(first, last)), *others], config())
        for first, last in ((0.7, -0.4), (0.7, 0.0), (0.0, -0.4), (0.0, 0.0))
    )
    assert (asking - neither).norm() > 0 < (answering - neither).norm()
    torch.testing.assert_close(both - neither, asking + answering - 2 * neither, rtol=1e-3, atol=1e-6)


def test_the_rewarded_behaviour_becomes_the_usual_one() -> None:
    """A choice between two replies to one prompt, asked for again and again."""
    made = policy()
    optimizer = torch.optim.AdamW(made.model.parameters(), lr=1e-3)
    gaps = []
    for _ in range(12):
        update(made, policy(), optimizer, [GOOD, BAD], config(max_grad_norm=1.0))
        gaps.append(per_token(made, GOOD) - per_token(made, BAD))
    assert gaps[-1] > gaps[0] + 1
    assert all(later > earlier for earlier, later in pairwise(gaps))


def test_dropped_groups_give_no_policy_gradient() -> None:
    """They only count as tokens, so that a step with few kept groups is a small one."""
    alone, beside = change([GOOD, BAD], config()), change([GOOD, BAD, DROPPED, DROPPED], config())
    kept = sum(item.finish.trace.num_reply_tokens for item in (GOOD, BAD))
    every = kept + 2 * DROPPED.finish.trace.num_reply_tokens
    torch.testing.assert_close(beside, alone * kept / every, rtol=1e-3, atol=1e-6)


def test_without_a_kept_group_and_a_divergence_nothing_moves() -> None:
    made = policy()
    stats = updated(made, [DROPPED], config())
    assert stats == UpdateStats(loss=0.0, kl=0.0, entropy=0.0, clip_ratio=0.0, grad_norm=0.0)
    pairs = zip(made.model.parameters(), policy().model.parameters(), strict=True)
    assert all(torch.equal(new, old) for new, old in pairs)


def test_the_divergence_pulls_on_dropped_groups_too() -> None:
    made, base = policy(), policy(1)
    optimizer = torch.optim.SGD(made.model.parameters(), lr=RATE)
    settings = config(kl_weight=1.0)
    divergences = [update(made, base, optimizer, [DROPPED], settings).kl for _ in range(4)]
    assert divergences[0] > divergences[-1] > 0


def test_a_policy_that_is_its_own_base_has_no_divergence() -> None:
    stats = updated(policy(), [GOOD, BAD], config(kl_weight=0.5))
    assert stats.kl == 0
    torch.testing.assert_close(change([GOOD, BAD], config(kl_weight=0.5)), change([GOOD, BAD], config()))


def test_an_episode_that_failed_before_its_first_reply_is_left_out() -> None:
    nothing = replace(DROPPED, finish=replace(DROPPED.finish, trace=Trace(turns=(), views=(), messages=())))
    stats = updated(policy(), [nothing], config(kl_weight=1.0), base=1)
    assert stats.grad_norm == 0


def test_the_size_of_a_micro_batch_changes_nothing() -> None:
    rollouts = [GOOD, BAD, DROPPED, rollout(prompt(2), [saying("K")], 0.5)]
    settings = config(kl_weight=0.3)
    whole, split = (
        change(rollouts, settings.model_copy(update={"micro_batch_size": size}), base=1) for size in (64, 1)
    )
    torch.testing.assert_close(whole, split, rtol=1e-3, atol=1e-7)
    first, second = (
        updated(policy(), rollouts, settings.model_copy(update={"micro_batch_size": size}), base=1) for size in (64, 3)
    )
    for name in UpdateStats.__slots__:
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-4, abs=1e-6), name


def test_a_step_is_no_longer_than_the_norm_allows() -> None:
    stats = updated(policy(), [GOOD, BAD], config())
    moved = change([GOOD, BAD], config(max_grad_norm=stats.grad_norm / 4))
    assert moved.norm().item() == pytest.approx(RATE * stats.grad_norm / 4, rel=1e-3)
    assert change([GOOD, BAD], config()).norm().item() == pytest.approx(RATE * stats.grad_norm, rel=1e-3)


def test_a_norm_of_0_leaves_the_gradient_as_it_is() -> None:
    torch.testing.assert_close(change([GOOD, BAD], config(max_grad_norm=0)), change([GOOD, BAD], config()))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_not_finite_is_not_taken(value: float) -> None:
    made = policy()
    with pytest.raises(DivergedError, match=r"the loss is (nan|-?inf) and the norm of its gradient nan"):
        updated(made, [GOOD, replace(BAD, advantages=(value,))], config())
    pairs = zip(made.model.parameters(), policy().model.parameters(), strict=True)
    assert all(torch.equal(new, old) and new.grad is None for new, old in pairs)


def test_a_gradient_that_is_not_finite_though_the_loss_is_stops_the_step() -> None:
    made = policy()
    weight = next(made.model.parameters())
    handle = weight.register_hook(lambda gradient: gradient * math.inf)  # type: ignore[no-untyped-call]
    with pytest.raises(DivergedError, match=r"the loss is -?\d.* and the norm of its gradient (nan|inf)"):
        updated(made, [GOOD, BAD], config())
    handle.remove()
    assert torch.equal(weight, next(policy().model.parameters()))


def test_weights_that_a_step_drove_out_of_range_are_noticed() -> None:
    made = policy()
    optimizer = torch.optim.SGD(made.model.parameters(), lr=1e38)
    with pytest.raises(DivergedError, match=r"weights .* are not finite any more"):
        update(made, policy(), optimizer, [replace(GOOD, advantages=(1e4, 1e4))], config())


def test_the_second_clip_holds_a_token_back_that_ran_away() -> None:
    """Only a later update can: at the first one every ratio is 1."""

    def moved(**settings: Any) -> float:
        made = policy()
        optimizer = torch.optim.SGD(made.model.parameters(), lr=2.0, maximize=True)  # what is bad becomes likelier
        update(made, policy(), optimizer, [GOOD, BAD], config(max_grad_norm=1.0, **settings))
        return per_token(made, BAD)

    assert moved(clip_ratio_c=1.01) == moved()
    assert moved(clip_ratio_c=1.01, num_updates=4) < moved(num_updates=4)


def test_later_updates_of_a_batch_are_clipped_against_the_first() -> None:
    """One update is on-policy by definition; several run into the clip when they go far enough."""
    made = policy()
    optimizer = torch.optim.SGD(made.model.parameters(), lr=2.0)
    assert update(policy(), policy(), torch.optim.SGD(made.model.parameters()), [GOOD, BAD], config()).clip_ratio == 0
    stats = update(made, policy(), optimizer, [GOOD, BAD], config(num_updates=4, max_grad_norm=1.0))
    assert stats.clip_ratio > 0


def test_gradients_are_cleared_and_never_reach_the_base() -> None:
    made, base = policy(), policy(1)
    base.model.requires_grad_(False)
    update(made, base, torch.optim.SGD(made.model.parameters(), lr=RATE), [GOOD, BAD], config(kl_weight=0.1))
    assert all(parameter.grad is None for parameter in [*made.model.parameters(), *base.model.parameters()])


def test_entropy_is_the_mean_over_the_written_tokens() -> None:
    made = policy()
    batch = made.batch([GOOD, BAD])
    with torch.no_grad():
        want = made.score(batch).entropy[targets(batch)].mean().item()
    assert updated(made, [GOOD, BAD, DROPPED], config()).entropy == pytest.approx(want, rel=1e-5)
