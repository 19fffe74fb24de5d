"""GRPO's arithmetic on tensors: clipped policy gradient, k3 divergence, entropy, token mean.

Rule: pure functions of tensors; nothing here knows a model. Shapes: B rollouts, T positions. The numbers agree with
veRL's own functions (`compute_policy_loss_vanilla`, `kl_penalty("low_var_kl")`, `agg_loss("token-mean")`, 0.9.1), which
a test calls as its oracle.
"""

from dataclasses import dataclass
from typing import Final

import torch

_MAX_LOG_RATIO: Final = 20.0
_MAX_KL: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScores:
    """What a model thinks of the tokens that were written. Each of float32 [B, T]."""

    log_probs: torch.Tensor
    entropy: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LossParts:
    """Sums over tokens, each already divided by `num_tokens`; scalars."""

    loss: torch.Tensor
    """What is minimised: policy loss + kl_weight * kl."""
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
    """Schulman's k3 estimate of KL(policy || reference) per token; at least 0, its gradient is that of the KL.

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
    mask: torch.Tensor,
    num_tokens: int,
    clip_ratio: float,
    kl_weight: float,
) -> LossParts:
    """Clipped policy gradient plus weighted divergence, on the model's own tokens.

    Args:
        scores: of the policy being trained.
        old_log_probs: [B, T], of the policy that wrote the tokens; constants.
        reference: [B, T] log-probabilities of the base model, or None for no divergence.
        advantages: [B], one number for all of a rollout's tokens.
        mask: bool [B, T], true on what the model wrote.
        num_tokens: of the whole optimizer step, so that micro-batches add up to the token mean.
        clip_ratio: half-width of the range of probability ratios.
        kl_weight: of the divergence.
    """
    ratio = (scores.log_probs - old_log_probs).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO).exp()
    weight = advantages.unsqueeze(-1)
    plain, clipped = -weight * ratio, -weight * ratio.clamp(1 - clip_ratio, 1 + clip_ratio)
    policy = _token_mean(torch.maximum(plain, clipped), mask, num_tokens)
    kl = torch.zeros(())
    if reference is not None:
        kl = _token_mean(k3_divergence(scores.log_probs, reference), mask, num_tokens)
    return LossParts(
        loss=policy + kl_weight * kl,
        kl=kl.detach(),
        entropy=_token_mean(scores.entropy.detach(), mask, num_tokens),
        clip_ratio=_token_mean((clipped > plain).float().detach(), mask, num_tokens),
    )


def _token_mean(values: torch.Tensor, mask: torch.Tensor, num_tokens: int) -> torch.Tensor:
    return torch.where(mask, values, torch.zeros_like(values)).sum() / max(num_tokens, 1)
