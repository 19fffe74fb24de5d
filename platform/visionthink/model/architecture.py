"""The embedded model: Qwen2.5-VL's own classes with a few million parameters fewer than a thousand times less.

Shapes follow what the serving and training engines accept: attention heads of 64, one key-value head, tied embeddings.
Weights start from fan-in scale; from the usual 0.02 a model of this width never learns to read (docs/adr).
"""

from typing import Any, Final

import torch
from torch import nn
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from visionthink.datasets.world.layout import GRID, Layout
from visionthink.model.tokenizer import END_OF_TURN, IMAGE_PAD, VIDEO_PAD, VISION_START, build_tokenizer

_HEAD: Final = 64
_MIN_PIXELS: Final = 28 * 28
_MAX_PIXELS: Final = 1024 * 1024
"""The processor only checks; how big a view is, the geometry decides."""
_RESIDUAL_OUTPUTS: Final = ("o_proj", "down_proj", "attn.proj")


def build_processor(layout: Layout[Any] = GRID) -> Qwen2_5_VLProcessor:
    """Tokenizer, image processor and chat template of the embedded model of a layout of the world."""
    tokenizer = build_tokenizer(layout)
    return Qwen2_5_VLProcessor(  # type: ignore[no-untyped-call]
        image_processor=Qwen2VLImageProcessor(min_pixels=_MIN_PIXELS, max_pixels=_MAX_PIXELS),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(min_pixels=_MIN_PIXELS, max_pixels=_MAX_PIXELS),
        chat_template=tokenizer.chat_template,
    )


def build_config(
    tokenizer: PreTrainedTokenizerFast, *, width: int = 128, layers: int = 3, vision_width: int = 128, depth: int = 2
) -> Qwen2_5_VLConfig:
    """A Qwen2.5-VL configuration with `width` / 64 text heads and `vision_width` / 64 vision heads."""
    ids = {token: tokenizer.get_vocab()[token] for token in (END_OF_TURN, IMAGE_PAD, VIDEO_PAD, VISION_START)}
    text = {
        "vocab_size": (len(tokenizer) + 63) // 64 * 64,
        "hidden_size": width,
        "intermediate_size": width * 11 // 4,
        "num_hidden_layers": layers,
        "num_attention_heads": width // _HEAD,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 10000.0},
        "bos_token_id": None,
        "eos_token_id": ids[END_OF_TURN],
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
    }
    vision = {
        "depth": depth,
        "hidden_size": vision_width,
        "intermediate_size": vision_width * 11 // 4,
        "num_heads": vision_width // _HEAD,
        "out_hidden_size": width,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 56,
        "fullatt_block_indexes": list(range(depth)),
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids[IMAGE_PAD],
        video_token_id=ids[VIDEO_PAD],
        vision_start_token_id=ids[VISION_START],
        tie_word_embeddings=True,
    )


def build_model(config: Qwen2_5_VLConfig, *, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """A model with random weights at fan-in scale."""
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    with torch.no_grad():
        for name, module in model.named_modules():
            _init(name, module)
    return model


def _init(name: str, module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
    elif isinstance(module, nn.Conv3d):
        nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
    elif isinstance(module, nn.Linear) and "lm_head" not in name:
        damping = 0.5 if name.endswith(_RESIDUAL_OUTPUTS) else 1.0
        nn.init.normal_(module.weight, std=damping * module.in_features**-0.5)
