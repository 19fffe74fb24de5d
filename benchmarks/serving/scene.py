"""Pictures that weigh what photographs weigh, each one different, and the bodies of requests that hold them.

Rule: no picture is shown twice in a window, so that no cache of a server answers for it. Pixels are noise of every
scale over a drawn scene: a JPEG of it has about a quarter of a byte a pixel, as a camera's has.
"""

import base64
import io
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw

from visionthink.core.geometry import Size, View
from visionthink.core.message import Message, Role, TextPart

_OCTAVES: Final = ((6, 70.0), (24, 34.0), (96, 16.0), (384, 7.0), (1536, 3.0))
"""Cells along the long side, and how many grey levels they move: strength falls with frequency, as in nature."""
_QUALITY: Final = 85


@cache
def _canvas(size: Size) -> Image.Image:
    rng = np.random.default_rng(7)
    width, height = size.width + 512, size.height + 512
    total = np.full((height, width, 3), 120.0, dtype=np.float32)
    for cells, strength in _OCTAVES:
        cells = min(cells, width)
        coarse = rng.normal(0.0, 1.0, (max(1, cells * height // width), cells, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(coarse[:, :, channel]).resize((width, height), Image.Resampling.BICUBIC)
            total[:, :, channel] += strength * np.asarray(layer)
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def picture(size: Size, number: int) -> Image.Image:
    """Picture `number` of this size."""
    rng = np.random.default_rng(number)
    left, top = (int(value) for value in rng.integers(0, 512, 2))
    image = _canvas(size).crop((left, top, left + size.width, top + size.height))
    draw = ImageDraw.Draw(image)
    for _ in range(24):
        x, y = int(rng.integers(0, size.width)), int(rng.integers(0, size.height))
        color = tuple(int(value) for value in rng.integers(0, 256, 3))
        draw.rectangle((x, y, x + size.width // 12, y + size.height // 16), fill=color)
        draw.text((x, y), f"{number} {x} {y}", fill=(255, 255, 255))
    return image


def jpeg(image: Image.Image) -> bytes:
    """The picture as a client sends it."""
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=_QUALITY)
    return file.getvalue()


def data_url(data: bytes, kind: str = "jpeg") -> str:
    """The picture as it travels."""
    return f"data:image/{kind};base64," + base64.b64encode(data).decode("ascii")


def written(messages: Sequence[Message], url_of: Callable[[View], str]) -> list[dict[str, Any]]:
    """Messages as OpenAI's API takes them, with the URL of each view."""
    roles = {Role.SYSTEM: "system", Role.USER: "user", Role.ASSISTANT: "assistant"}
    return [
        {"role": roles[message.role], "content": _content(message, url_of) if message.views else message.text}
        for message in messages
    ]


def _content(message: Message, url_of: Callable[[View], str]) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": part.text}
        if isinstance(part, TextPart)
        else {"type": "image_url", "image_url": {"url": url_of(part.view)}}
        for part in message.parts
    ]


def asked(url: str, question: str, model: str, **fields: object) -> bytes:
    """A client's request: one picture and a question."""
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
    return json.dumps({"model": model, "messages": [{"role": "user", "content": content}], **fields}).encode()


def stored(folder: Path, kind: str, size: Size, number: int) -> Path:
    """Where an encoded picture lies."""
    return folder / f"{size.width}x{size.height}" / f"{number}.{kind}"
