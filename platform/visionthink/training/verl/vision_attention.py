"""Attention of Qwen2.5-VL's vision tower over all windows at once.

Without flash-attn, transformers 5.9 (`Qwen2_5_VLVisionAttention.forward`) asks the GPU for the lengths of the windows
three times in each layer, and then attends to one window after the other: a picture of 1024 x 768 has about 60, in 28
of 32 layers, which is thousands of small kernels for each picture of each rollout. Here windows are rows of one batch,
filled up to the longest, and where they lie is found once for all layers. The numbers are the same.
"""

from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

_LAYOUT: Final = "_visionthink_layout"
_IMPLEMENTATION: Final = "sdpa"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where tokens stand in a batch of windows `[S, L]`."""

    taken: torch.Tensor
    """`[S * L]`: the token at each place; any one where there is none."""
    is_there: torch.Tensor
    """`[S, 1, 1, L]`: whether a window has a token at this place."""
    place: torch.Tensor
    """`[N]`: the place of each token."""

    @classmethod
    def of(cls, bounds: torch.Tensor) -> "Layout | None":
        """Of windows that begin and end at `bounds` `[S + 1]`; None for a single one."""
        if len(bounds) == 2:
            return None
        lengths = bounds.diff()
        longest = int(lengths.max())
        step = torch.arange(longest, device=bounds.device)
        is_there = step < lengths[:, None]
        taken = torch.where(is_there, bounds[:-1, None] + step, 0)
        place = is_there.flatten().nonzero().squeeze(-1)
        return cls(taken.flatten(), is_there[:, None, None, :], place)


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout | None, scale: float
) -> torch.Tensor:
    """`[N, H, D]` from `query`, `key` and `value` of that shape: each token attends to its own window."""
    if layout is None:
        q, k, v = (one.transpose(0, 1)[None] for one in (query, key, value))
        return scaled_dot_product_attention(q, k, v, scale=scale)[0].transpose(0, 1)
    num_windows, longest = layout.is_there.shape[0], layout.is_there.shape[-1]
    q, k, v = (
        one.index_select(0, layout.taken).view(num_windows, longest, *one.shape[1:]).transpose(1, 2)
        for one in (query, key, value)
    )
    made = scaled_dot_product_attention(q, k, v, attn_mask=layout.is_there, scale=scale)
    return made.transpose(1, 2).flatten(0, 1).index_select(0, layout.place)


def layout_of(bounds: torch.Tensor) -> Layout | None:
    """The layout, kept with `bounds`, which the tower hands to each of its layers."""
    if not hasattr(bounds, _LAYOUT):
        setattr(bounds, _LAYOUT, Layout.of(bounds))
    return cast("Layout | None", getattr(bounds, _LAYOUT))


def forward(
    self: Any,
    hidden_states: torch.Tensor,
    cu_seqlens: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
    **kwargs: Any,
) -> torch.Tensor:
    """What `Qwen2_5_VLVisionAttention.forward` gives, which answers for every other implementation of attention."""
    if self.config._attn_implementation != _IMPLEMENTATION or position_embeddings is None:
        made = _theirs(self, hidden_states, cu_seqlens=cu_seqlens, position_embeddings=position_embeddings, **kwargs)
        return cast("torch.Tensor", made)
    num_tokens = hidden_states.shape[0]
    query, key, value = self.qkv(hidden_states).reshape(num_tokens, 3, self.num_heads, -1).unbind(1)
    query, key = qwen.apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    made = attend(query, key, value, layout_of(cu_seqlens), self.scaling)
    return cast("torch.Tensor", self.proj(made.reshape(num_tokens, -1)))


_theirs: Final[Any] = qwen.Qwen2_5_VLVisionAttention.forward


def replace() -> None:
    """Put it in the place of transformers' own."""
    qwen.Qwen2_5_VLVisionAttention.forward = forward  # type: ignore[method-assign, assignment]
