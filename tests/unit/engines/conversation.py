"""Short ways to write conversations, and pictures without a meaning."""

import random

from PIL import Image

from visionthink.core.geometry import Size, View, ViewRule
from visionthink.core.message import ImagePart, Message, Role, TextPart

RULE = ViewRule(max_pixels=112 * 112, min_pixels=56 * 56)


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
