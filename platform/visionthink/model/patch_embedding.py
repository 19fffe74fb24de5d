"""Qwen2.5-VL's patch embedding as the matrix product that it is.

Upstream writes it as a 3-D convolution whose stride equals its kernel. On a CPU that convolution costs a sixth of a
training step of the embedded model; the product with the same weights costs next to nothing.
"""

from typing import Any, cast

import torch
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration


def use_linear_patches(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Make `model` embed patches by a matrix product. Weights, their names and the results stay what they are."""
    embedding = cast("Any", model).model.visual.patch_embed

    def forward(patches: torch.Tensor) -> torch.Tensor:
        weight = embedding.proj.weight
        return functional.linear(patches.to(weight.dtype), weight.view(embedding.embed_dim, -1))

    embedding.forward = forward
