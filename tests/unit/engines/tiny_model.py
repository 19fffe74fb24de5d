"""A random Qwen2.5-VL of 1.7 M parameters, and pictures without a meaning: all that the engines' tests need."""

import random
from functools import lru_cache

import torch
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from visionthink.core.geometry import Size, View, ViewRule
from visionthink.core.message import ImagePart, Message, Role, TextPart
from visionthink.model.architecture import build_config, build_model, build_processor

RULE = ViewRule(max_pixels=112 * 112, min_pixels=56 * 56)


@lru_cache
def tiny_processor() -> Qwen2_5_VLProcessor:
    return build_processor()


def tiny_model(seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    with torch.random.fork_rng():
        model = build_model(build_config(tiny_processor().tokenizer), seed=seed)
    model.train(False)
    return model


def processor_with(chat_template: str) -> Qwen2_5_VLProcessor:
    """The tiny processor with another template."""
    tiny = tiny_processor()
    return Qwen2_5_VLProcessor(  # type: ignore[no-untyped-call]
        image_processor=tiny.image_processor,
        tokenizer=tiny.tokenizer,
        video_processor=tiny.video_processor,
        chat_template=chat_template,
    )


def noise(width: int = 112, height: int = 112, seed: int = 0) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))


def view(width: int, height: int) -> View:
    return View(size=Size(width=width, height=height))


def user(*parts: str | View) -> Message:
    return Message(
        role=Role.USER,
        parts=tuple(TextPart(text=part) if isinstance(part, str) else ImagePart(view=part) for part in parts),
    )


def system(text: str) -> Message:
    return Message(role=Role.SYSTEM, parts=(TextPart(text=text),))


def reply(text: str, token_ids: tuple[int, ...] | None = None) -> Message:
    return Message(role=Role.ASSISTANT, parts=(TextPart(text=text),), token_ids=token_ids)
