"""The embedded model is a Qwen2.5-VL that every engine takes: head size 64, padded vocabulary, ids of its tokenizer."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tests.unit.engines.conversation import noise, user, view
from tests.unit.engines.tiny_model import tiny_model, tiny_processor
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
)

from visionthink.core.episode import ModelReply
from visionthink.engines import Request, Sampling
from visionthink.engines.batch import collate
from visionthink.engines.encoding import Encoder
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.model.architecture import build_config, build_model
from visionthink.model.tokenizer import END_OF_TURN, IMAGE_PAD, VIDEO_PAD, VISION_START

PICTURE = noise(112, 112)


def config(width: int = 128, vision_width: int = 128) -> Any:
    return build_config(tiny_processor().tokenizer, width=width, vision_width=vision_width, layers=2, depth=2)


@pytest.mark.parametrize("width", [64, 128, 192])
def test_every_head_is_64_wide(width: int) -> None:
    """Kernels of vLLM and flash attention do not take smaller ones."""
    made = config(width, width)
    assert made.text_config.hidden_size / made.text_config.num_attention_heads == 64
    assert made.vision_config.hidden_size / made.vision_config.num_heads == 64
    assert made.vision_config.out_hidden_size == made.text_config.hidden_size == width
    model = cast("Any", build_model(made, seed=0))
    assert model.model.language_model.layers[0].self_attn.k_proj.out_features == 64


def test_the_vocabulary_is_padded_and_holds_every_token() -> None:
    made, tokenizer = config(), tiny_processor().tokenizer
    assert made.text_config.vocab_size % 64 == 0
    assert len(tokenizer) <= made.text_config.vocab_size < len(tokenizer) + 64
    assert max(tokenizer.get_vocab().values()) < made.text_config.vocab_size


def test_the_ids_are_those_of_the_tokenizer() -> None:
    made, ids = config(), tiny_processor().tokenizer.get_vocab()
    assert made.image_token_id == ids[IMAGE_PAD]
    assert made.video_token_id == ids[VIDEO_PAD]
    assert made.vision_start_token_id == ids[VISION_START]
    assert made.text_config.eos_token_id == ids[END_OF_TURN]
    assert made.text_config.pad_token_id == tiny_processor().tokenizer.pad_token_id


def test_rotary_sections_fill_half_a_head() -> None:
    assert sum(config().text_config.rope_parameters["mrope_section"]) == 64 // 2


def test_input_and_output_embeddings_are_one() -> None:
    model = cast("Any", build_model(config(), seed=0))
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_a_seed_fixes_the_weights() -> None:
    first, again, other = (build_model(config(), seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


def test_weights_start_at_fan_in_scale() -> None:
    model = cast("Any", build_model(config(), seed=0)).model
    layer = model.language_model.layers[0].self_attn
    assert layer.q_proj.weight.std().item() == pytest.approx(128**-0.5, rel=0.05)
    assert layer.o_proj.weight.std().item() == pytest.approx(0.5 * 128**-0.5, rel=0.05)
    assert model.visual.patch_embed.proj.weight.std().item() == pytest.approx((3 * 2 * 14 * 14) ** -0.5, rel=0.05)


@pytest.mark.parametrize(("side", "num_tokens"), [(28, 1), (56, 4), (112, 16)])
def test_a_view_has_one_token_for_28_by_28_pixels(side: int, num_tokens: int) -> None:
    model, encoder = tiny_model(), Encoder(tiny_processor())
    batch = collate([encoder.encode([user(view(side, side), "?")], PICTURE)], encoder, padding="right")
    assert (batch.input_ids == encoder.image_id).sum() == num_tokens
    logits = model(**batch.model_inputs()).logits
    assert logits.shape == (1, batch.input_ids.shape[1], config().text_config.vocab_size)
    assert logits.isfinite().all()


async def test_a_saved_model_is_loaded_by_the_auto_classes_and_says_the_same(tmp_path: Path) -> None:
    model, processor = tiny_model(), tiny_processor()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).model_type == "qwen2_5_vl"
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)  # type: ignore[no-untyped-call]
    assert isinstance(loaded, Qwen2_5_VLForConditionalGeneration) and isinstance(again, Qwen2_5_VLProcessor)
    assert again.chat_template == processor.chat_template
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    messages = (user(view(56, 56), "what color ?"), user(view(112, 112), "here is the larger image ."))
    request = Request(messages=messages, picture=PICTURE, sampling=Sampling(temperature=0.0, max_tokens=8))
    written = []
    for engine in (TransformersEngine(model, processor), TransformersEngine(loaded, again)):
        event = await engine.reply(request)
        assert isinstance(event, ModelReply)
        written.append(event.token_ids)
    assert written[0] == written[1]
