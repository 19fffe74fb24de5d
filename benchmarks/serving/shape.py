"""A model folder in the shape of Qwen2.5-VL (7B, 3B, or tiny), without weights and without a hub.

Rule: what costs time is as in the real model (widths, layers, vocabulary, processor); what it says means nothing, as
vLLM fills the weights itself (`--load-format dummy`). The tokenizer is trained on the protocols' own texts, so that a
prompt has about as many tokens as with the real one. The end-of-turn token lies behind the model's vocabulary: random
weights can never write it, and every reply has exactly the length that it was asked for.
"""

import json
from pathlib import Path
from typing import Any, Final, Literal

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from visionthink.core.closer_look import TOOLS
from visionthink.core.protocol import PROTOCOLS, rendered_tools
from visionthink.core.tool import ToolBox

Shape = Literal["7b", "3b", "tiny"]

_NEVER: Final = "<|never|>"
_SPECIAL: Final = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_PIXELS: Final = {"min_pixels": 56 * 56, "max_pixels": 28 * 28 * 5400}
"""Every view of at most 2048 x 2048 pixels fits. The real processor would take three times as much, and vLLM would try
it out when it starts."""
_TEMPLATE: Final = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['content'] is string -%}{{ message['content'] }}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] in ['image', 'image_url'] -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif 'text' in part -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
_TEXT: Final[dict[Shape, dict[str, Any]]] = {
    "7b": {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1000000.0},
        "tie_word_embeddings": False,
    },
    "3b": {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1000000.0},
        "tie_word_embeddings": True,
    },
    "tiny": {
        "vocab_size": 4096,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1000000.0},
        "tie_word_embeddings": False,
    },
}
_VISION: Final[dict[Shape, dict[str, Any]]] = {
    "7b": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 3584,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    "3b": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 2048,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    "tiny": {
        "depth": 1,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 1,
        "out_hidden_size": 64,
        "window_size": 112,
        "fullatt_block_indexes": [0],
    },
}
_PATCH: Final = {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}


def write_model(folder: Path, shape: Shape) -> None:
    """Write configuration, tokenizer, processor and chat template to `folder`."""
    tokenizer = _tokenizer(_TEXT[shape]["vocab_size"])
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**_PIXELS),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**_PIXELS),
        chat_template=_TEMPLATE,
    ).save_pretrained(folder)
    ids = tokenizer.get_vocab()
    text = {**_TEXT[shape], "bos_token_id": None, "eos_token_id": ids[_NEVER], "pad_token_id": ids["<|endoftext|>"]}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config={**_VISION[shape], **_PATCH},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=_TEXT[shape]["tie_word_embeddings"],
        architectures=["Qwen2_5_VLForConditionalGeneration"],
        dtype="float32" if shape == "tiny" else "bfloat16",
    )
    config.save_pretrained(folder)


def _tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2048, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    core.train_from_iterator(_texts(), trainer)
    core = _filled(core, vocab_size - len(_SPECIAL))
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (*_SPECIAL, _NEVER)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=_NEVER,
        pad_token="<|endoftext|>",
        additional_special_tokens=list(_SPECIAL[1:]),
        model_max_length=131072,
    )


def _filled(core: Tokenizer, size: int) -> Tokenizer:
    """The tokenizer with words that no text is cut into, so that every token the model may write has a text."""
    state = json.loads(core.to_str())
    vocabulary = state["model"]["vocab"]
    for number in range(len(vocabulary), size):
        vocabulary[f"\u0120w{number}"] = number  # byte-level for " w..."
    return Tokenizer.from_str(json.dumps(state))


def _texts() -> list[str]:
    fields = ("system", "user", "tool_result", "tool_error", "force_answer")
    told = [getattr(protocol, name) or "" for protocol in PROTOCOLS for name in fields]
    return [*told, rendered_tools(ToolBox(TOOLS.values()))]
