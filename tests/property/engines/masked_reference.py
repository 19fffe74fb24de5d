"""What a model says when tokens are masked out instead of dropped: no cache, no padding, one row, eager attention.

Scores come from the attention weights of the model itself; only what is kept of whom is asked of the methods.
"""

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from visionthink.core.pruning import Pruning, num_retained
from visionthink.engines.encoding import Encoded
from visionthink.engines.pruning.fastv import reduce_fastv
from visionthink.engines.pruning.reduction import Reduction
from visionthink.engines.pruning.sparsevlm import num_after, raters, rank_of, reduce_sparsevlm
from visionthink.engines.pruning.tower import TowerTokens, watched
from visionthink.engines.pruning.visionzip import reduce_visionzip


def masked_logits(
    model: Qwen2_5_VLForConditionalGeneration, prompt: Encoded, reply: list[int], pruning: Pruning, image_id: int
) -> torch.Tensor:
    """[reply + 1, vocabulary]: logits of the tokens behind the prompt and behind each of the reply's."""
    num_prompt = prompt.num_tokens
    ids = torch.cat([prompt.input_ids, torch.tensor(reply, dtype=torch.int64)])[None]
    is_visual = ids[0] == image_id
    hidden, positions, seen = _embedded(model, ids, is_visual, prompt)
    view_of = torch.full_like(ids[0], -1)
    sizes = torch.tensor([len(one.keys) for one in seen], dtype=torch.int64)
    view_of[is_visual] = torch.arange(len(seen)).repeat_interleave(sizes)
    prunable = is_visual & (view_of >= int(pruning.spares_first))
    start = hidden
    alive = torch.ones_like(prunable)
    causal = torch.ones(len(alive), len(alive), dtype=torch.bool).tril()
    language_model = model.model.language_model
    cos_sin = language_model.rotary_emb(hidden[None], positions)
    weights = torch.zeros(0)
    for number, layer in enumerate(language_model.layers):
        columns = (prunable & alive).nonzero().flatten()
        if number in pruning.layers and len(columns):
            budget = num_retained(int(prunable.sum()), pruning.retained_ratio)
            left = _left(pruning, number, columns, start, hidden, weights, num_prompt, view_of, seen, budget, prunable)
            alive = alive.index_put((columns,), left.kept)
            hidden = hidden.index_put((columns,), left.hidden)
        allowed = causal & (alive[None] | torch.eye(len(alive), dtype=torch.bool))
        mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)[None, None]
        caught: list[torch.Tensor] = []
        handle = layer.self_attn.register_forward_hook(lambda _, __, out, caught=caught: caught.append(out[1]))
        hidden = layer(hidden[None], attention_mask=mask, position_embeddings=cos_sin)[0]
        handle.remove()
        weights = caught[0][0].mean(dim=0)
    return model.lm_head(language_model.norm(hidden))[num_prompt - 1 :]


def _embedded(
    model: Qwen2_5_VLForConditionalGeneration, ids: torch.Tensor, is_visual: torch.Tensor, prompt: Encoded
) -> tuple[torch.Tensor, torch.Tensor, list[TowerTokens]]:
    """What goes into the language model, at which positions, and what the tower saw."""
    hidden = model.get_input_embeddings()(ids)[0].clone()
    if not prompt.views:
        return hidden, torch.arange(ids.shape[1]).expand(3, 1, -1), []
    with watched(model) as watch:
        features = model.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw).pooler_output
    hidden[is_visual] = torch.cat(tuple(features))
    positions, _ = model.model.get_rope_index(ids, is_visual.long()[None], image_grid_thw=prompt.image_grid_thw)
    return hidden, positions, watch.views


def _left(  # noqa: PLR0913
    pruning: Pruning,
    number: int,
    columns: torch.Tensor,
    start: torch.Tensor,
    hidden: torch.Tensor,
    weights: torch.Tensor,
    num_prompt: int,
    view_of: torch.Tensor,
    seen: list[TowerTokens],
    budget: int,
    prunable: torch.Tensor,
) -> Reduction:
    if pruning.method == "fastv":
        return reduce_fastv(weights[num_prompt - 1, columns], hidden[columns], budget)
    if pruning.method == "sparsevlm":
        last = int(prunable.nonzero().max())
        text = torch.arange(last + 1, num_prompt)
        text = text[view_of[text] < 0]
        ratings = weights[text[raters(start[prunable], start[text])]][:, columns]
        is_last = number == pruning.layers[-1]
        count = num_after(len(columns), rank_of(ratings), budget=budget, is_last=is_last)
        return reduce_sparsevlm(ratings, hidden[columns], count)
    parts = [(view_of[columns] == view, view) for view in view_of[columns].unique().tolist()]
    kept, merged = torch.ones(len(columns), dtype=torch.bool), hidden[columns].clone()
    for own, view in parts:
        count = num_retained(int(own.sum()), pruning.retained_ratio)
        left = reduce_visionzip(seen[view].attention, seen[view].keys, hidden[columns[own]], count)
        kept[own], merged[own] = left.kept, left.hidden
    return Reduction(kept, merged)
