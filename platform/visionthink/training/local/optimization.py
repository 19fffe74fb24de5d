"""The optimizer steps of GRPO over a batch of rollouts.

Rule: no step is taken on a loss or a gradient that is not finite: one such step would leave weights of which nothing
can be learned or drawn any more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from visionthink.config import TrainConfig
from visionthink.errors import UserError
from visionthink.training.local.loss import grpo_loss, token_advantages, token_weights
from visionthink.training.local.policy import Policy, targets
from visionthink.training.local.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStats:
    """What an update did; means over the model's tokens."""

    loss: float
    kl: float
    entropy: float
    clip_ratio: float
    grad_norm: float


class DivergedError(UserError):
    """Training has left the numbers that can be computed with."""


def update(
    policy: Policy,
    reference: Policy,
    optimizer: torch.optim.Optimizer,
    rollouts: Sequence[Rollout],
    config: TrainConfig,
) -> UpdateStats:
    """Take `num_updates` optimizer steps; return the means over them.

    Dropped groups have no advantage and so no policy gradient. The divergence is measured on them all the same: where
    every rollout of a group does the same thing, it alone still pulls towards the base model's variety, and without
    that pull a policy that has stopped asking never starts again. Without a rollout to learn from nothing moves and
    all numbers are 0.

    Raises:
        DivergedError: the loss, the gradient or a weight is not finite. In the first two cases the weights are those
            before that optimizer step.
    """
    kept = sorted(
        (item for item in rollouts if item.is_kept or (config.kl_weight > 0 and item.finish.trace.turns)),
        key=lambda item: item.finish.trace.num_prompt_tokens,
    )
    if not kept:
        return UpdateStats(loss=0.0, kl=0.0, entropy=0.0, clip_ratio=0.0, grad_norm=0.0)
    chunks = [kept[start : start + config.micro_batch_size] for start in range(0, len(kept), config.micro_batch_size)]
    # Old scores are needed only when the policy moves away from what wrote the rollouts.
    old = [_old_scores(policy, chunk) for chunk in chunks] if config.num_updates > 1 else [None] * len(chunks)
    base = [_old_scores(reference, chunk) for chunk in chunks] if config.kl_weight > 0 else [None] * len(chunks)
    # Of ALL rollouts: when most groups are dropped, the few left must not weigh more each.
    lengths = [item.finish.trace.num_reply_tokens for item in rollouts]
    stats = [_one_update(policy, optimizer, chunks, old, base, lengths, config) for _ in range(config.num_updates)]
    return UpdateStats(
        **{name: sum(getattr(item, name) for item in stats) / len(stats) for name in UpdateStats.__slots__}
    )


def _one_update(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    chunks: Sequence[Sequence[Rollout]],
    old: Sequence[torch.Tensor | None],
    base: Sequence[torch.Tensor | None],
    lengths: Sequence[int],
    config: TrainConfig,
) -> UpdateStats:
    loss = kl = entropy = clipped = share = 0.0
    for chunk, old_log_probs, reference in zip(chunks, old, base, strict=True):
        batch = policy.batch(chunk)
        scores = policy.score(batch)
        mask = targets(batch)
        weights = token_weights(mask, lengths, config.loss_aggregation)
        parts = grpo_loss(
            scores,
            old_log_probs=scores.log_probs.detach() if old_log_probs is None else old_log_probs,
            reference=reference,
            advantages=token_advantages(mask, [item.advantages for item in chunk]),
            weights=weights,
            clip_ratio=config.clip_ratio,
            clip_ratio_c=config.clip_ratio_c,
            kl_weight=config.kl_weight,
            entropy_weight=config.entropy_weight,
        )
        parts.loss.backward()  # type: ignore[no-untyped-call]
        loss += parts.loss.item()
        kl, entropy = kl + parts.kl.item(), entropy + parts.entropy.item()
        clipped, share = clipped + parts.clip_ratio.item(), share + weights.sum().item()
    # A norm without a bound still has to be known.
    grad_norm = torch.nn.utils.clip_grad_norm_(policy.model.parameters(), config.max_grad_norm or math.inf).item()
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        optimizer.zero_grad()
        raise DivergedError(f"the loss is {loss:g} and the norm of its gradient {grad_norm:g}")
    optimizer.step()
    optimizer.zero_grad()
    check_finite(policy.model)
    share = share or 1.0  # nothing written, nothing to average
    return UpdateStats(
        loss=loss, kl=kl / share, entropy=entropy / share, clip_ratio=clipped / share, grad_norm=grad_norm
    )


def check_finite(model: torch.nn.Module) -> None:
    """Refuse weights that are infinite or no number.

    Raises:
        DivergedError: naming the first of them.
    """
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise DivergedError(f"the weights {name} are not finite any more")


def _old_scores(policy: Policy, chunk: Sequence[Rollout]) -> torch.Tensor:
    with torch.no_grad():
        return policy.score(policy.batch(chunk)).log_probs
