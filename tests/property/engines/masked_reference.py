"""What a model says when tokens are masked out instead of dropped: no cache, no padding, one row, eager attention.

Scores come from the attention weights of the model itself; only what is kept of whom is asked of the methods.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from visionthink.core.pruning import Pruning, num_retained
from visionthink.engines.encoding import Encoded
from visionthink.engines.pruning.fastv import reduce_fastv
from visionthink.engines.pruning.reduction import Reduction
from visionthink.engines.pruning.sparsevlm import num_after, rank_of, raters, reduce_sparsevlm
from visionthink.engines.pruning.tower import TowerTokens, watched
from visionthink.engines.pruning.visionzip import reduce_visionzip


@dataclass(frozen=True, kw_only=True)
class _Prompt:
    """A conversation as it goes into the language model, L tokens with those of the reply."""

    hidden: torch.Tensor
    """[L, D]."""
    positions: torch.Tensor
    """int64 [3, 1, L]."""
    view_of: torch.Tensor
    """int64 [L]: the view of a visual token, -1 on text."""
    prunable: torch.Tensor
    """Bool [L]."""
    seen: list[TowerTokens]
    length: int
    """Tokens without the reply's."""


def masked_logits(
    model: Qwen2_5_VLForConditionalGeneration, prompt: Encoded, reply: list[int], pruning: Pruning, image_id: int
) -> torch.Tensor:
    """[reply + 1, vocabulary]: logits of the tokens behind the prompt and behind each of the reply's."""
    live = cast("Any", model)
    start = _embedded(live, prompt, reply, pruning, image_id)
    hidden, alive = start.hidden, torch.ones_like(start.prunable)
    itself = torch.eye(len(alive), dtype=torch.bool)
    causal = torch.ones(len(alive), len(alive), dtype=torch.bool).tril()
    cos_sin = live.model.language_model.rotary_emb(hidden[None], start.positions)
    weights = torch.zeros(0)
    for number, layer in enumerate(live.model.language_model.layers):
        columns = (start.prunable & alive).nonzero().flatten()
        if number in pruning.layers and len(columns):
            left = _left(start, pruning, hidden, columns, weights, is_last=number == pruning.layers[-1])
            alive, hidden = alive.index_put((columns,), left.kept), hidden.index_put((columns,), left.hidden)
        allowed = causal & (alive[None] | itself)
        mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)[None, None]
        caught: list[torch.Tensor] = []
        handle = layer.self_attn.register_forward_hook(lambda _, __, out, caught=caught: caught.append(out[1]))
        hidden = layer(hidden[None], attention_mask=mask, position_embeddings=cos_sin)[0]
        handle.remove()
        weights = caught[0][0].mean(dim=0)
    logits: torch.Tensor = live.lm_head(live.model.language_model.norm(hidden))
    return logits[start.length - 1 :]


def _embedded(live: Any, prompt: Encoded, reply: list[int], pruning: Pruning, image_id: int) -> _Prompt:
    ids = torch.cat([prompt.input_ids, torch.tensor(reply, dtype=torch.int64)])[None]
    is_visual = ids[0] == image_id
    hidden = live.get_input_embeddings()(ids)[0].clone()
    positions, seen = torch.arange(ids.shape[1]).expand(3, 1, -1), list[TowerTokens]()
    if prompt.views:
        with watched(live) as watch:
            features = live.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw).pooler_output
        hidden[is_visual], seen = torch.cat(tuple(features)), watch.views
        positions, _ = live.model.get_rope_index(ids, is_visual.long()[None], image_grid_thw=prompt.image_grid_thw)
    view_of = torch.full_like(ids[0], -1)
    sizes = torch.tensor([len(one.keys) for one in seen], dtype=torch.int64)
    view_of[is_visual] = torch.arange(len(seen)).repeat_interleave(sizes)
    return _Prompt(
        hidden=hidden,
        positions=positions,
        view_of=view_of,
        prunable=view_of >= int(pruning.spares_first),
        seen=seen,
        length=prompt.num_tokens,
    )


def _left(
    start: _Prompt,
    pruning: Pruning,
    hidden: torch.Tensor,
    columns: torch.Tensor,
    weights: torch.Tensor,
    *,
    is_last: bool,
) -> Reduction:
    """What is left of `columns`; `weights` [L, L] is the attention of the layer before."""
    budget = num_retained(int(start.prunable.sum()), pruning.retained_ratio)
    if pruning.method == "fastv":
        return reduce_fastv(weights[start.length - 1, columns], hidden[columns], budget)
    if pruning.method == "sparsevlm":
        text = torch.arange(int(start.prunable.nonzero().max()) + 1, start.length)
        ratings = weights[text[raters(start.hidden[start.prunable], start.hidden[text])]][:, columns]
        count = num_after(len(columns), rank_of(ratings), budget=budget, is_last=is_last)
        return reduce_sparsevlm(ratings, hidden[columns], count)
    kept, merged = torch.ones(len(columns), dtype=torch.bool), hidden[columns].clone()
    for view in sorted(set(start.view_of[columns].tolist())):
        own, seen = start.view_of[columns] == view, start.seen[view]
        count = num_retained(int(own.sum()), pruning.retained_ratio)
        left = reduce_visionzip(seen.attention, seen.keys, hidden[columns[own]], count)
        kept[own], merged[own] = left.kept, left.hidden
    return Reduction(kept, merged)
