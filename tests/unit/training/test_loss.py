"""The arithmetic of GRPO on tensors, against hand-made cases, against torch's distributions and against veRL."""

import json
import math
import random
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from visionthink.training.local.loss import (
    Aggregation,
    LossParts,
    TokenScores,
    grpo_loss,
    k3_divergence,
    score_tokens,
    token_advantages,
    token_weights,
)

ORACLE = Path(__file__).parents[2] / "oracles" / "verl_grpo.py"
CLIP = 0.2

log_probs = st.floats(-30, 0)


def loss(
    log_prob: torch.Tensor,
    *,
    old: torch.Tensor | None = None,
    advantages: list[float],
    mask: torch.Tensor | None = None,
    lengths: list[int] | None = None,
    aggregation: Aggregation = "token-mean",
    reference: torch.Tensor | None = None,
    kl_weight: float = 0.0,
    entropy: torch.Tensor | None = None,
    clip_ratio_c: float = 0.0,
) -> LossParts:
    mask = torch.ones_like(log_prob, dtype=torch.bool) if mask is None else mask
    return grpo_loss(
        TokenScores(log_probs=log_prob, entropy=torch.zeros_like(log_prob) if entropy is None else entropy),
        old_log_probs=log_prob.detach() if old is None else old,
        reference=reference,
        advantages=torch.tensor(advantages, dtype=log_prob.dtype),
        weights=token_weights(mask, mask.sum(-1).tolist() if lengths is None else lengths, aggregation),
        clip_ratio=CLIP,
        clip_ratio_c=clip_ratio_c,
        kl_weight=kl_weight,
    )


def gradient(log_prob: torch.Tensor, **options: Any) -> torch.Tensor:
    log_prob = log_prob.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(log_prob, **options).loss, log_prob)
    return found


def test_scores_are_those_of_the_categorical_distribution() -> None:
    logits, ids = torch.randn(3, 5, 11) * 3, torch.randint(0, 11, (3, 5))
    got, want = score_tokens(logits, ids), torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(got.log_probs, want.log_prob(ids))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(got.entropy, want.entropy())  # type: ignore[no-untyped-call]


def test_scores_are_of_full_precision_whatever_the_model_computes_in() -> None:
    logits, ids = torch.randn(1, 4, 9, dtype=torch.bfloat16), torch.zeros(1, 4, dtype=torch.int64)
    got = score_tokens(logits, ids)
    assert got.log_probs.dtype == got.entropy.dtype == torch.float32
    torch.testing.assert_close(got.log_probs, torch.log_softmax(logits.float(), -1)[..., 0])


def test_a_forbidden_token_takes_no_part() -> None:
    """As if the vocabulary did not hold it: no share of the probability, no entropy, no gradient."""
    logits, ids = torch.randn(2, 4, 9), torch.randint(0, 5, (2, 4))
    forbidden = logits.clone()
    forbidden[..., 5:] = -torch.inf
    forbidden.requires_grad_()
    got, want = score_tokens(forbidden, ids), score_tokens(logits[..., :5], ids)
    torch.testing.assert_close(got.log_probs, want.log_probs)
    torch.testing.assert_close(got.entropy, want.entropy)
    (got.log_probs.sum() + got.entropy.sum()).backward()  # type: ignore[no-untyped-call]
    assert forbidden.grad is not None and forbidden.grad.isfinite().all()
    assert (forbidden.grad[..., 5:] == 0).all() and (forbidden.grad[..., :5] != 0).any()


@given(log_probs, log_probs)
def test_k3_is_never_negative_and_0_where_both_agree(ours: float, theirs: float) -> None:
    value = k3_divergence(torch.tensor(ours, dtype=torch.float64), torch.tensor(theirs, dtype=torch.float64)).item()
    assert value >= 0
    assert (value == 0) == (abs(ours - theirs) < 1e-8) or value < 1e-15


@pytest.mark.parametrize("seed", range(5))
def test_k3_is_the_divergence_on_average_and_pulls_as_the_reverse_one_does(seed: int) -> None:
    """Expected over the policy's own tokens; the gradient of the expectation is taken without that of its weights."""
    generator = torch.Generator().manual_seed(seed)
    logits, other = (torch.randn(7, dtype=torch.float64, generator=generator) / 2 for _ in range(2))
    logits.requires_grad_()
    ours, theirs = torch.log_softmax(logits, -1), torch.log_softmax(other, -1)
    estimate = (ours.exp().detach() * k3_divergence(ours, theirs)).sum()
    torch.testing.assert_close(estimate, (ours.exp() * (ours - theirs)).sum())
    (got,) = torch.autograd.grad(estimate, logits, retain_graph=True)
    (want,) = torch.autograd.grad((theirs.exp() * (theirs - ours)).sum(), logits)
    torch.testing.assert_close(got, want)


def test_k3_of_a_hopeless_token_stays_finite() -> None:
    far = torch.tensor([-400.0], requires_grad=True)
    value = k3_divergence(far, torch.tensor([0.0]))
    assert value.item() == 10.0
    value.sum().backward()  # type: ignore[no-untyped-call]
    assert far.grad is not None and far.grad.isfinite().all()


def test_on_policy_the_gradient_is_minus_advantage_over_tokens() -> None:
    got = gradient(torch.tensor([[-1.0, -2.0], [-0.5, -3.0]]), advantages=[2.0, -1.0])
    torch.testing.assert_close(got, torch.tensor([[-0.5, -0.5], [0.25, 0.25]]))


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves", "counts"),
    [
        (1.0, 1.0, True, False),
        (1.3, 1.0, False, True),
        (0.7, 1.0, True, False),
        (1.3, -1.0, True, False),
        (0.7, -1.0, False, True),
        (1.19, 1.0, True, False),
        (0.81, -1.0, True, False),
    ],
    ids=[
        "unchanged",
        "good and already likelier",
        "good and less likely",
        "bad and likelier",
        "bad and already less likely",
        "good, just inside",
        "bad, just inside",
    ],
)
def test_a_token_that_moved_enough_is_left_alone(ratio: float, advantage: float, moves: bool, counts: bool) -> None:
    old = torch.tensor([[-1.0]])
    new = old + torch.tensor(ratio).log()
    assert bool((gradient(new, old=old, advantages=[advantage]) != 0).all()) is moves
    assert loss(new, old=old, advantages=[advantage]).clip_ratio.item() == counts


def test_masked_tokens_count_for_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    new, old, base = (-torch.rand(4, 6, generator=generator) * 5 for _ in range(3))
    mask = torch.rand(4, 6, generator=generator) < 0.5
    options: dict[str, Any] = {"advantages": [1.0, -1.0, 0.5, 2.0], "mask": mask, "kl_weight": 0.5}
    got = gradient(new, old=old, reference=base, **options)
    assert (got[~mask] == 0).all() and (got[mask] != 0).any()
    noise = torch.where(mask, torch.zeros(()), torch.randn(4, 6, generator=generator))
    plain = loss(new, old=old, reference=base, entropy=-new, **options)
    moved = loss(new + noise, old=old - noise, reference=base + noise, entropy=noise - new, **options)
    for name in LossParts.__slots__:
        assert getattr(plain, name).item() == pytest.approx(getattr(moved, name).item(), rel=1e-6), name


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_micro_batches_add_up_to_the_mean_of_the_whole(aggregation: Aggregation) -> None:
    generator = torch.Generator().manual_seed(1)
    new, old, base = (-torch.rand(6, 5, generator=generator) * 3 for _ in range(3))
    mask = torch.rand(6, 5, generator=generator) < 0.6
    advantages = [1.0, -0.5, 0.3, -2.0, 0.1, 1.5]
    mask[2] = False
    options: dict[str, Any] = {"kl_weight": 0.05, "aggregation": aggregation}
    whole = loss(new, old=old, reference=base, advantages=advantages, mask=mask, entropy=-new, **options)
    parts = [
        loss(
            new[rows],
            old=old[rows],
            reference=base[rows],
            advantages=advantages[rows],
            mask=mask[rows],
            lengths=mask.sum(-1).tolist(),
            entropy=-new[rows],
            **options,
        )
        for rows in (slice(0, 1), slice(1, 4), slice(4, 6))
    ]
    for name in LossParts.__slots__:
        got = sum(getattr(part, name).item() for part in parts)
        assert got == pytest.approx(getattr(whole, name).item(), rel=1e-5), name


def test_a_token_has_the_advantage_of_its_turn() -> None:
    rows = ["..aa.bbb", "aa......", ".a.b.cc.", "........"]
    mask = torch.tensor([[letter != "." for letter in row] for row in rows])
    got = token_advantages(mask, [(1.0, -2.0), (3.0, 9.0), (4.0, 0.0, 5.0), ()])
    want = [[0, 0, 1, 1, 0, -2, -2, -2], [3, 3, 0, 0, 0, 0, 0, 0], [0, 4, 0, 0, 0, 5, 5, 0], [0] * 8]
    assert torch.equal(got, torch.tensor(want, dtype=torch.float32))


def test_turns_of_one_advantage_are_a_rollout_of_it_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(2)
    new, old = (-torch.rand(3, 9, generator=generator) * 3 for _ in range(2))
    mask = torch.rand(3, 9, generator=generator) < 0.6
    advantages = torch.tensor([1.1, -0.3, 0.7])
    by_token = token_advantages(mask, [(value,) * 9 for value in advantages.tolist()])
    found = []
    for values in (advantages, by_token):
        log_probs = new.clone().requires_grad_()
        part = grpo_loss(
            TokenScores(log_probs=log_probs, entropy=torch.zeros_like(new)),
            old_log_probs=old,
            reference=None,
            advantages=values,
            weights=token_weights(mask, mask.sum(-1).tolist(), "token-mean"),
            clip_ratio=CLIP,
            clip_ratio_c=1.5,
            kl_weight=0.0,
        )
        part.loss.backward()  # type: ignore[no-untyped-call]
        found.append((part.loss, part.clip_ratio, log_probs.grad))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_a_token_weighs_as_much_as_any_other_or_its_rollout_does() -> None:
    mask = torch.tensor([[True, True, True, False], [False, True, False, False], [False] * 4])
    by_token = token_weights(mask, [3, 1, 0], "token-mean")
    torch.testing.assert_close(by_token, mask / 4)
    by_rollout = token_weights(mask, [3, 1, 0], "seq-mean-token-mean")
    torch.testing.assert_close(by_rollout.sum(-1), torch.tensor([0.5, 0.5, 0.0]))
    assert (by_rollout > 0).equal(mask)


def test_nothing_written_weighs_nothing() -> None:
    mask = torch.zeros(2, 3, dtype=torch.bool)
    for aggregation in get_args(Aggregation):
        assert token_weights(mask, [0, 0], aggregation).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(
    ("ratio", "advantage", "clip_ratio_c", "want"),
    [
        pytest.param(5.0, -1.0, 0.0, (5.0, 5.0), id="without a bound a far token pulls with all its ratio"),
        pytest.param(5.0, -1.0, 3.0, (3.0, 0.0), id="beyond the bound it does not pull"),
        pytest.param(2.0, -1.0, 3.0, (2.0, 2.0), id="within the bound it does"),
        pytest.param(5.0, 1.0, 3.0, (-1.2, 0.0), id="a good token has the first clip"),
        pytest.param(0.1, -1.0, 3.0, (0.8, 0.0), id="a bad one that became rare as well"),
    ],
)
def test_dual_clip_bounds_the_loss_of_bad_tokens(
    ratio: float, advantage: float, clip_ratio_c: float, want: tuple[float, float]
) -> None:
    old = torch.tensor([[-4.0]], dtype=torch.float64)
    new = old + math.log(ratio)
    options: dict[str, Any] = {"old": old, "advantages": [advantage], "clip_ratio_c": clip_ratio_c}
    got = loss(new, **options).loss.item(), gradient(new, **options).item()
    assert got == pytest.approx(want)


def test_without_a_reference_or_weight_there_is_no_divergence() -> None:
    new, base = torch.tensor([[-1.0]]), torch.tensor([[-3.0]])
    alone = loss(new, advantages=[1.0], kl_weight=0.5)
    assert alone.kl.item() == 0 and alone.loss.item() == -1
    unweighted = loss(new, advantages=[1.0], reference=base)
    assert unweighted.kl.item() > 0 and unweighted.loss.item() == -1
    weighted = loss(new, advantages=[1.0], reference=base, kl_weight=0.5)
    assert weighted.loss.item() == pytest.approx(-1 + 0.5 * unweighted.kl.item())


def test_the_bonus_is_for_being_undecided() -> None:
    """The gradient is that of the entropy itself, on the model's own tokens only."""
    logits, mask = torch.randn(2, 3, 5, dtype=torch.float64), torch.tensor([[True, True, False], [True, False, False]])
    logits.requires_grad_()
    scores = score_tokens(logits, torch.zeros(2, 3, dtype=torch.int64))
    parts = grpo_loss(
        scores,
        old_log_probs=scores.log_probs.detach(),
        reference=None,
        advantages=torch.zeros(2),
        weights=token_weights(mask, [2, 1], "token-mean"),
        clip_ratio=CLIP,
        kl_weight=0.0,
        entropy_weight=0.3,
    )
    (got,) = torch.autograd.grad(parts.loss, logits)
    entropy = torch.distributions.Categorical(logits=logits).entropy()  # type: ignore[no-untyped-call]
    (want,) = torch.autograd.grad(-0.3 * entropy[mask].mean(), logits)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-6)
    assert not parts.entropy.requires_grad


def case(chance: random.Random, *, reach: float) -> dict[str, Any]:
    """Numbers of a batch, with at least one token that counts."""
    num_rows, num_columns = chance.randint(1, 5), chance.randint(1, 8)

    def table(low: float, high: float) -> list[list[float]]:
        return [[chance.uniform(low, high) for _ in range(num_columns)] for _ in range(num_rows)]

    old = table(-6, 0)
    mask = [[float(chance.random() < 0.7) for _ in range(num_columns)] for _ in range(num_rows)]
    mask[0][0] = 1.0
    return {
        "old_log_probs": old,
        "log_probs": [[value + chance.uniform(-reach, reach) for value in row] for row in old],
        "ref_log_probs": table(-6, 0),
        "advantages": [chance.uniform(-2, 2) for _ in range(num_rows)],
        "mask": mask,
    }


@pytest.mark.slow
def test_verl_computes_the_same_loss_and_gradient(verl_python: Path) -> None:
    """One process for all cases: veRL needs many seconds to be imported."""
    chance = random.Random(0)
    drawn = [
        (case(chance, reach=reach), aggregation)
        for reach in (0.0, 0.1, 0.5, 3.0, 40.0)
        for _ in range(20)
        for aggregation in get_args(Aggregation)
    ]
    cases = [(*numbers, clip_ratio_c) for numbers in drawn for clip_ratio_c in (0.0, 3.0, 1.1)]
    answers = iter(by_verl(verl_python, [request for case_ in cases for request in requests_of(*case_)]))
    num_clipped = num_bounded = 0
    for numbers, aggregation, clip_ratio_c in cases:
        policy, divergence, mean = next(answers), next(answers), next(answers)
        tensors = {key: torch.tensor(value, dtype=torch.float64) for key, value in numbers.items()}
        mask, base = tensors["mask"].bool(), tensors["ref_log_probs"]
        options: dict[str, Any] = {
            "old": tensors["old_log_probs"],
            "advantages": numbers["advantages"],
            "mask": mask,
            "aggregation": aggregation,
        }
        unbounded = loss(tensors["log_probs"], **options).loss.item()
        options["clip_ratio_c"] = clip_ratio_c
        parts = loss(tensors["log_probs"], **options, entropy=base)
        num_bounded += parts.loss.item() != unbounded
        assert parts.loss.item() == pytest.approx(policy["value"], rel=1e-6, abs=1e-9)
        if aggregation == "token-mean":  # veRL always counts clipped tokens, whatever the loss is the mean of
            assert parts.clip_ratio.item() == pytest.approx(policy["clip_ratio"], abs=1e-6)
        want = torch.tensor(policy["gradient"], dtype=torch.float64)
        torch.testing.assert_close(gradient(tensors["log_probs"], **options), want, rtol=1e-6, atol=1e-9)
        k3 = k3_divergence(tensors["log_probs"], base)
        torch.testing.assert_close(k3, torch.tensor(divergence["values"], dtype=torch.float64))
        # Entropies are averaged as they are, so they show the mean alone.
        assert parts.entropy.item() == pytest.approx(mean["value"], rel=1e-6)
        num_clipped += policy["clip_ratio"] > 0
    assert num_clipped > 20 and num_bounded > 20


def requests_of(numbers: dict[str, Any], mode: Aggregation, clip_c: float) -> list[dict[str, Any]]:
    """What the oracle is asked about a case."""
    columns = len(numbers["mask"][0])
    policy = {key: numbers[key] for key in ("old_log_probs", "log_probs", "mask")}
    advantages = [[value] * columns for value in numbers["advantages"]]
    return [
        {
            "op": "policy_loss",
            **policy,
            "advantages": advantages,
            "clip_low": CLIP,
            "clip_high": CLIP,
            "clip_c": clip_c,
            "mode": mode,
        },
        {"op": "low_var_kl", "log_probs": numbers["log_probs"], "ref_log_probs": numbers["ref_log_probs"]},
        {"op": "agg_loss", "losses": numbers["ref_log_probs"], "mask": numbers["mask"], "mode": mode},
    ]


def by_verl(python: Path, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [python, ORACLE], input=json.dumps(requests), capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers
