"""GRPO's arithmetic on tensors: clipped policy gradient, k3 divergence, entropy, and what they are averaged over.

Rule: pure functions of tensors; nothing here knows a model. Shapes: B rollouts, T positions. The numbers agree with
veRL's own functions (the clipped policy loss with its dual clip and without, `kl_penalty("low_var_kl")`, `agg_loss`;
0.9.1), which a test calls as its oracle. veRL's dual clip is on unless it is told otherwise, here it is off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, assert_never

import torch

Aggregation = Literal["token-mean", "seq-mean-token-mean"]
"""veRL's `loss_agg_mode`: the mean over all tokens of a step, or over each rollout's tokens and then over rollouts."""

_MAX_LOG_RATIO: Final = 20.0
_MAX_KL: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScores:
    """What a model thinks of the tokens that were written. Each of float32 [B, T]."""

    log_probs: torch.Tensor
    entropy: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LossParts:
    """Weighted sums over tokens; scalars. With the weights of a whole step's parts they add up to its means."""

    loss: torch.Tensor
    """What is minimised: policy loss + kl_weight * kl - entropy_weight * entropy."""
    kl: torch.Tensor
    entropy: torch.Tensor
    clip_ratio: torch.Tensor
    """Share of tokens whose probability ratio left the clip range on the side that counts."""


def score_tokens(logits: torch.Tensor, token_ids: torch.Tensor) -> TokenScores:
    """Log-probabilities of `token_ids` [B, T] and entropies, from `logits` [B, T, V]."""
    log_probs = torch.log_softmax(logits.float(), dim=-1)
    chosen = log_probs.gather(-1, token_ids.unsqueeze(-1)).squeeze(-1)
    # A forbidden token has log-probability -inf and probability 0; 0 * -inf must count as 0, in the gradient as well.
    terms = log_probs.exp() * log_probs.masked_fill(log_probs.isinf(), 0.0)
    return TokenScores(log_probs=chosen, entropy=-terms.sum(-1))


def k3_divergence(log_probs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Schulman's k3 estimate of KL(policy || reference) per token of the policy's own; at least 0.

    Its gradient is, on average, that of KL(reference || policy): it pulls hardest where the policy no longer does what
    the reference does.

    Source: http://joschu.net/blog/kl-approx.html; clamps as in veRL, against overflow.
    """
    gap = (reference - log_probs).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    return (gap.exp() - gap - 1).clamp(-_MAX_KL, _MAX_KL)


def grpo_loss(
    scores: TokenScores,
    *,
    old_log_probs: torch.Tensor,
    reference: torch.Tensor | None,
    advantages: torch.Tensor,
    weights: torch.Tensor,
    clip_ratio: float,
    kl_weight: float,
    clip_ratio_c: float = 0.0,
    entropy_weight: float = 0.0,
) -> LossParts:
    """Clipped policy gradient plus weighted divergence, on the model's own tokens.

    Args:
        scores: of the policy being trained.
        old_log_probs: [B, T], of the policy that wrote the tokens; constants.
        reference: [B, T] log-probabilities of the base model, or None for no divergence.
        advantages: [B], one number for all of a rollout's tokens, or [B, T], see `token_advantages`.
        weights: [B, T], each token's share in the mean, see `token_weights`; 0 on what the model did not write.
        clip_ratio: half-width of the range of probability ratios.
        kl_weight: of the divergence.
        clip_ratio_c: veRL's dual clip: the loss of a token of a negative advantage grows no further than at this
            probability ratio, where it gives no gradient; 0 for no such bound.
        entropy_weight: of the bonus for being undecided.
    """
    ratio = (scores.log_probs - old_log_probs).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO).exp()
    gain = advantages if advantages.dim() > 1 else advantages.unsqueeze(-1)
    plain, clipped = -gain * ratio, -gain * ratio.clamp(1 - clip_ratio, 1 + clip_ratio)
    losses = torch.maximum(plain, clipped)
    if clip_ratio_c:
        losses = torch.where(gain < 0, torch.minimum(losses, -gain * clip_ratio_c), losses)
    policy = _weighted(losses, weights)
    kl = torch.zeros(())
    if reference is not None:
        kl = _weighted(k3_divergence(scores.log_probs, reference), weights)
    entropy = _weighted(scores.entropy if entropy_weight else scores.entropy.detach(), weights)
    return LossParts(
        loss=policy + kl_weight * kl - entropy_weight * entropy,
        kl=kl.detach(),
        entropy=entropy.detach(),
        clip_ratio=_weighted((clipped > plain).float().detach(), weights),
    )


def token_advantages(mask: torch.Tensor, advantages: Sequence[Sequence[float]]) -> torch.Tensor:
    """[B, T]: the advantage of each token's turn; 0 on what the model did not write.

    Args:
        mask: bool [B, T], true on what the model wrote. A turn is a run of it: a turn of no token at all can only be
            the last one, and whatever the template puts between two turns is none of the model's.
        advantages: of each rollout's turns.
    """
    starts = mask & ~torch.nn.functional.pad(mask[:, :-1], (1, 0))
    turns = starts.cumsum(-1) * mask
    table = torch.zeros(len(advantages), max(map(len, advantages), default=0) + 1)
    for row, values in zip(table, advantages, strict=True):
        row[1 : len(values) + 1] = torch.tensor(values)
    return table.gather(-1, turns)


def token_weights(mask: torch.Tensor, lengths: Sequence[int], aggregation: Aggregation) -> torch.Tensor:
    """[B, T]: the share of each token of some of a step's rollouts in the mean over all of the step.

    Args:
        mask: bool [B, T], true on what the model wrote in these rollouts.
        lengths: tokens that the model wrote in each rollout of the whole step; empty ones count for nothing.
        aggregation: what is averaged.
    """
    own = mask.to(torch.get_default_dtype())
    match aggregation:
        case "token-mean":
            return own / max(sum(lengths), 1)
        case "seq-mean-token-mean":
            num_rollouts = sum(length > 0 for length in lengths)
            return own / own.sum(-1, keepdim=True).clamp(min=1) / max(num_rollouts, 1)
        case _:
            assert_never(aggregation)


def _weighted(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    # Not a product alone: what stands at a masked place may be infinite.
    return (torch.where(weights > 0, values, torch.zeros_like(values)) * weights).sum()
