"""Puts encoded conversations of different lengths side by side.

Rule: padding never changes a result. Padded places are masked out of attention and out of the reply mask, and
Qwen2.5-VL's position ids (one axis each for time, height and width) are computed by the model from what is not padding.
Generation pads on the left, so that every row goes on at the same column; training pads on the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Final, Literal, cast

import torch
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from visionthink.engines.encoding import Encoded, Encoder, Pixels

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
    views: tuple[Pixels, ...]
    """Every view of every row, in the order of the rows."""

    def model_inputs(self, device: torch.device | str | None = None) -> dict[str, torch.Tensor]:
        """Keyword arguments of the model's `forward` and `generate`, on `device`: the stock form."""
        inputs = self._texts()
        if self.views:
            inputs["pixel_values"] = torch.cat([view.patches for view in self.views])
            inputs["image_grid_thw"] = torch.cat([view.grid_thw for view in self.views])
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    def shared_inputs(self, model: Qwen2_5_VLForConditionalGeneration) -> dict[str, Any]:
        """The same for `model`, with each distinct view encoded once instead of once a row.

        A group of rollouts looks at one picture, so this saves most of the vision tower's work, and its gradient's. It
        runs the tower now: call it under the grad mode in which the model is called.
        """
        live = cast("Any", model)
        if not self.views or "mm_encoder_outputs" not in signature(live.forward).parameters:  # an older transformers
            return {**self.model_inputs(live.device)}
        distinct = list({id(view): view for view in self.views}.values())
        place = {id(view): index for index, view in enumerate(distinct)}
        patches, grids = torch.cat([view.patches for view in distinct]), torch.cat([view.grid_thw for view in distinct])
        made = live.model.get_image_features(patches.to(live.device), grids.to(live.device)).pooler_output
        features = BaseModelOutputWithPooling(pooler_output=tuple(made[place[id(view)]] for view in self.views))  # type: ignore[arg-type]
        inputs = self._texts() | {"image_grid_thw": torch.cat([view.grid_thw for view in self.views])}
        on_device = {name: tensor.to(live.device) for name, tensor in inputs.items()}
        return {**on_device, "mm_encoder_outputs": {"image": features}}

    def _texts(self) -> dict[str, torch.Tensor]:
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "mm_token_type_ids": self.mm_token_type_ids,
        }


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
    return Batch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        reply_mask=reply_mask,
        mm_token_type_ids=(input_ids == encoder.image_id).long() * _IMAGE_TYPE,
        views=tuple(view for row in rows for view in row.views),
    )
