"""veRL's own numbers for GRPO, as a filter: JSON requests on standard input, JSON answers on standard output.

Rule: it runs in veRL's environment, whose pins exclude ours, so it imports nothing of this repository and speaks JSON
only. Importing veRL takes many seconds, so a list of requests comes in and a list of answers in the same order goes
out. Values are computed in float64. A request holds ``op`` and what that operation takes:

    op               takes                                             answers
    grpo_advantage   rewards [group][rollout], eps, normalise          values [group][rollout]
    low_var_kl       log_probs, ref_log_probs [sequence][token]        values [sequence][token]
    agg_loss         losses, mask [sequence][token], mode              value
    policy_loss      old_log_probs, log_probs, advantages, mask        value, clip_ratio, gradient [sequence][token]
                     [sequence][token], clip_low, clip_high, clip_c,   (of the value, by log_probs)
                     mode

``mode`` is veRL's ``loss_agg_mode``: ``token-mean``, ``seq-mean-token-sum``, ``seq-mean-token-mean``.
"""

import contextlib
import json
import sys
from typing import Any

# veRL and its imports greet on standard output, which belongs to the answer.
with contextlib.redirect_stdout(sys.stderr):
    import numpy as np
    import torch
    from verl.trainer.ppo import core_algos  # type: ignore[import-not-found, unused-ignore]

Request = dict[str, Any]
Answer = dict[str, Any]


def _tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def grpo_advantage(request: Request) -> Answer:
    groups = request["rewards"]
    rewards = _tensor([[reward] for group in groups for reward in group])
    index = np.array([number for number, group in enumerate(groups) for _ in group])
    advantages, _ = core_algos.compute_grpo_outcome_advantage(
        token_level_rewards=rewards,
        response_mask=torch.ones_like(rewards),
        index=index,
        epsilon=request["eps"],
        norm_adv_by_std_in_grpo=request["normalise"],
    )
    values = iter(advantages[:, 0].tolist())
    return {"values": [[next(values) for _ in group] for group in groups]}


def low_var_kl(request: Request) -> Answer:
    log_probs, ref_log_probs = _tensor(request["log_probs"]), _tensor(request["ref_log_probs"])
    return {"values": core_algos.kl_penalty(log_probs, ref_log_probs, "low_var_kl").tolist()}


def agg_loss(request: Request) -> Answer:
    losses, mask = _tensor(request["losses"]), _tensor(request["mask"])
    return {"value": core_algos.agg_loss(losses, mask, request["mode"]).item()}


def policy_loss(request: Request) -> Answer:
    log_probs = _tensor(request["log_probs"]).requires_grad_()
    value, clip_ratio, *_ = core_algos.compute_policy_loss(
        old_log_prob=_tensor(request["old_log_probs"]),
        log_prob=log_probs,
        advantages=_tensor(request["advantages"]),
        response_mask=_tensor(request["mask"]),
        cliprange_low=request["clip_low"],
        cliprange_high=request["clip_high"],
        clip_ratio_c=request["clip_c"] or 1e9,  # veRL has no switch for its dual clip: nothing gets as far as this
        loss_agg_mode=request["mode"],
    )
    (gradient,) = torch.autograd.grad(value, log_probs)
    return {"value": value.item(), "clip_ratio": float(clip_ratio), "gradient": gradient.tolist()}


OPERATIONS = {
    "grpo_advantage": grpo_advantage,
    "low_var_kl": low_var_kl,
    "agg_loss": agg_loss,
    "policy_loss": policy_loss,
}


def main() -> None:
    requests = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        answers = [OPERATIONS[request["op"]](request) for request in requests]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
