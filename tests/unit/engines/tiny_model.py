"""A random Qwen2.5-VL of 1.7 M parameters: all the model that the engines' tests need."""

from functools import lru_cache
from pathlib import Path

import torch
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from visionthink.model.architecture import build_config, build_model, build_processor


@lru_cache
def tiny_processor() -> Qwen2_5_VLProcessor:
    return build_processor()


def tiny_model(seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    with torch.random.fork_rng():
        model = build_model(build_config(tiny_processor().tokenizer), seed=seed)
    model.train(False)
    return model


def saved_model(folder: Path) -> Path:
    """The tiny model in a folder."""
    tiny_model().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


def processor_with(chat_template: str) -> Qwen2_5_VLProcessor:
    """The tiny processor with another template."""
    tiny = tiny_processor()
    return Qwen2_5_VLProcessor(  # type: ignore[no-untyped-call]
        image_processor=tiny.image_processor,
        tokenizer=tiny.tokenizer,
        video_processor=tiny.video_processor,
        chat_template=chat_template,
    )
