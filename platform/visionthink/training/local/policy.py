"""A model as a policy: what it thinks of the tokens of whole episodes.

Rule: tokens that the engine can never draw are masked here too, so the scores are those of the distribution that the
rollouts were drawn from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from visionthink.engines.batch import Batch, collate
from visionthink.engines.encoding import Encoder
from visionthink.training.local.loss import TokenScores, score_tokens
from visionthink.training.local.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """A model together with how its conversations are encoded."""

    model: Qwen2_5_VLForConditionalGeneration
    encoder: Encoder
    forbidden_ids: tuple[int, ...]
    """Ids that the engine never draws."""
    temperature: float
    """At which rollouts are drawn; scores are those at this temperature."""

    def batch(self, rollouts: Sequence[Rollout]) -> Batch:
        """The rollouts' conversations side by side."""
        rows = [self.encoder.encode_trace(item.finish.trace, item.picture) for item in rollouts]
        return collate(rows, self.encoder, padding="right")

    def score(self, batch: Batch) -> TokenScores:
        """Scores [B, L - 1] of the tokens at positions 1..L-1; see `targets` for which of them count."""
        model = cast("Any", self.model)
        logits = model(**batch.shared_inputs(self.model)).logits[:, :-1] / self.temperature
        logits[..., list(self.forbidden_ids)] = -torch.inf
        # A forbidden id in a prompt (an image pad) would score -inf; such places are masked out by the reply mask, but
        # an infinity times zero would still poison the gradient, so they are scored as some allowed id.
        ids = torch.where(batch.reply_mask, batch.input_ids, torch.full_like(batch.input_ids, self.encoder.end_id))
        return score_tokens(logits, ids[:, 1:])


def targets(batch: Batch) -> torch.Tensor:
    """Bool [B, L - 1]: which scores belong to tokens that the model wrote."""
    return batch.reply_mask[:, 1:]
