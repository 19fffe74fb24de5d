"""What Qwen2.5-VL's vision tower looks at, seen from beside it while it encodes views.

Rule: taken from its last block with full attention, the last one in which a patch can see the whole view; in the blocks
between these it sees its window alone. The tower has no class token whose attention could be asked for, as VisionZip
does with CLIP, so a patch counts by the attention that it gets from all others: the paper's own way out for such towers
(section 2.3). One visual token is four patches, and takes the mean of theirs.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_window_index

from visionthink.engines.pruning.attention import received


class TowerTokens(NamedTuple):
    """The visual tokens of one view, n of them, in the order in which the language model gets them."""

    attention: torch.Tensor
    """[n]: what each got, mean over heads, queries and patches."""
    keys: torch.Tensor
    """[n, d]: its key before the rotation, mean over heads and patches: what it is like, wherever it is."""


class TowerWatch:
    """Sees every view that a tower encodes."""

    def __init__(self, visual: Any) -> None:
        self._visual = visual
        self._grid = torch.zeros(0, 3)
        self.views: list[TowerTokens] = []
        """In the order in which they were encoded."""

    def on_tower(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the tower: how many patches each view has."""
        self._grid = kwargs["grid_thw"] if "grid_thw" in kwargs else args[1]

    def on_attention(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the attention of the block that is watched."""
        hidden = args[0] if args else kwargs["hidden_states"]
        queries, raw, _ = module.qkv(hidden).reshape(len(hidden), 3, module.num_heads, -1).unbind(1)
        queries, keys = apply_rotary_pos_emb_vision(queries, raw, *kwargs["position_embeddings"])
        counts = self._grid.prod(-1).tolist()
        attention = torch.cat(
            [
                received(query.transpose(0, 1), key.transpose(0, 1), scaling=module.scaling)
                for query, key in zip(torch.split(queries, counts), torch.split(keys, counts), strict=True)
            ]
        )
        self._keep(attention, raw.float().mean(dim=1), counts)

    def _keep(self, attention: torch.Tensor, keys: torch.Tensor, counts: list[int]) -> None:
        """Patches to tokens, and windows back to the order of reading."""
        visual = self._visual
        unit = visual.spatial_merge_size**2
        window_index, _ = get_vision_window_index(
            self._grid,
            spatial_merge_size=visual.spatial_merge_size,
            window_size=visual.window_size,
            patch_size=visual.patch_size,
        )
        order = window_index.argsort()
        sizes = [count // unit for count in counts]
        of_tokens = torch.split(attention.view(-1, unit).mean(dim=1)[order], sizes)
        key_of_tokens = torch.split(keys.view(-1, unit, keys.shape[-1]).mean(dim=1)[order], sizes)
        self.views += map(TowerTokens, of_tokens, key_of_tokens)


@contextmanager
def watched(model: Qwen2_5_VLForConditionalGeneration) -> Generator[TowerWatch]:
    """See what the tower of `model` encodes meanwhile."""
    visual: Any = model.model.visual
    watch = TowerWatch(visual)
    attention = visual.blocks[max(visual.fullatt_block_indexes)].attn
    handles = [
        visual.register_forward_pre_hook(watch.on_tower, with_kwargs=True),
        attention.register_forward_pre_hook(watch.on_attention, with_kwargs=True),
    ]
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()
