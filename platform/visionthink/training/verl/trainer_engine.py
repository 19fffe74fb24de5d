"""What veRL's training engine lacks: a vision tower that stays as it is and is fast, and fast log-probabilities.

Extension points: `actor_rollout_ref.model.external_lib` imports this file in time, and the environment variable
VERL_ENGINE_VENDOR=visionthink chooses the engine. Rule: as little as possible of veRL is replaced, and by the same
numbers.
"""

from typing import Any, Final

import torch
from verl.utils import torch_functional
from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from visionthink.training.verl import vision_attention

_CHUNK: Final = 2**27
"""Numbers of float32 at once: half a gigabyte."""


@EngineRegistry.register(model_type="language_model", backend=["fsdp2"], device=["cuda"], vendor="visionthink")
class FrozenTowerEngine(FSDPEngineWithLMHead):  # type: ignore[misc]
    """Trains the language model alone: veRL 0.9.1 reads `actor.freeze_vision_tower` nowhere."""

    def _build_module(self) -> Any:
        module = super()._build_module()
        if not self.engine_config.forward_only:
            module.model.visual.requires_grad_(False)
        return module


def log_probs(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Of `labels` `[...]` under `logits` `[..., V]`.

    Without flash-attn veRL takes one kernel for each token, which was most of a step (docs/verl.md).
    """
    flat, wanted = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    rows = max(1, _CHUNK // flat.shape[-1])
    starts = range(0, len(flat), rows)
    parts = [_log_probs(flat[start : start + rows], wanted[start : start + rows]) for start in starts]
    return torch.cat(parts).view(labels.shape)


def _log_probs(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    full = logits.float()
    return full.gather(-1, labels.unsqueeze(-1)).squeeze(-1) - full.logsumexp(-1)


torch_functional.logprobs_from_logits_v2 = log_probs
vision_attention.replace()
