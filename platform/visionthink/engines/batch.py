"""Puts encoded conversations of different lengths side by side.

Rule: padding never changes a result. Padded places are masked out of attention and out of the reply mask, and
Qwen2.5-VL's position ids (one axis each for time, height and width) are computed by the model from what is not padding.
Generation pads on the left, so that every row goes on at the same column; training pads on the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch

from visionthink.engines.encoding import Encoded, Encoder

_IMAGE_TYPE: Final = 1  # mm_token_type_ids: 0 text, 1 image, 2 video (transformers 5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """B conversations padded to one length L. Views keep the order of the rows."""

    input_ids: torch.Tensor
    """int64 [B, L]."""
    attention_mask: torch.Tensor
    """int64 [B, L]: 0 on padding."""
    reply_mask: torch.Tensor
    """bool [B, L]: what the model wrote."""
    mm_token_type_ids: torch.Tensor
    """int64 [B, L]: 1 on image pads, which tells the model where a view begins and ends."""
    pixel_values: torch.Tensor | None
    """float32 [patches of all views, patch size]."""
    image_grid_thw: torch.Tensor | None
    """int64 [views, 3]."""

    def model_inputs(self, device: torch.device | str | None = None) -> dict[str, torch.Tensor]:
        """Keyword arguments of the model's `forward` and `generate`, on `device`."""
        inputs = {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "mm_token_type_ids": self.mm_token_type_ids,
        }
        if self.pixel_values is not None and self.image_grid_thw is not None:
            inputs |= {"pixel_values": self.pixel_values, "image_grid_thw": self.image_grid_thw}
        return {name: tensor.to(device) for name, tensor in inputs.items()}


def collate(rows: Sequence[Encoded], encoder: Encoder, *, padding: Literal["left", "right"]) -> Batch:
    """One batch of `rows`, in order."""
    num_columns = max(row.num_tokens for row in rows)
    input_ids = torch.full((len(rows), num_columns), encoder.pad_id, dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    reply_mask = torch.zeros_like(input_ids, dtype=torch.bool)
    for index, row in enumerate(rows):
        columns = slice(num_columns - row.num_tokens, None) if padding == "left" else slice(0, row.num_tokens)
        input_ids[index, columns] = row.input_ids
        attention_mask[index, columns] = 1
        reply_mask[index, columns] = row.reply_mask
    pixels = [row.pixel_values for row in rows if row.pixel_values is not None]
    grids = [row.image_grid_thw for row in rows if row.image_grid_thw is not None]
    return Batch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        reply_mask=reply_mask,
        mm_token_type_ids=(input_ids == encoder.image_id).long() * _IMAGE_TYPE,
        pixel_values=torch.cat(pixels) if pixels else None,
        image_grid_thw=torch.cat(grids) if grids else None,
    )
