"""Transparency is laid over white in little memory, and every pixel is as if it were done in one piece."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.unit.engines.conversation import noise

from visionthink import picture
from visionthink.picture import PictureTooLargeError, decode


def whole(data: bytes) -> Image.Image:
    """The plain way: three whole copies."""
    drawn = Image.open(io.BytesIO(data)).convert("RGBA")
    white = Image.new("RGBA", drawn.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, drawn).convert("RGB")


def transparent(mode: str, width: int, height: int, seed: int) -> bytes:
    image = noise(width, height, seed).convert("RGBA")
    image.putalpha(noise(width, height, seed + 1).convert("L"))
    file = io.BytesIO()
    if mode == "P":
        flat = image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
        flat.save(file, format="PNG", transparency=3)
    elif mode in ("L", "RGB"):
        image.convert(mode).save(file, format="PNG", transparency=7 if mode == "L" else image.getpixel((0, 0))[:3])  # type: ignore[index]
    else:
        image.convert(mode).save(file, format="PNG")
    return file.getvalue()


@given(
    mode=st.sampled_from(["RGBA", "LA", "P", "L", "RGB"]),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    seed=st.integers(0, 99),
    strip=st.integers(1, 300),
)
def test_strips_give_the_pixels_of_the_whole(mode: str, width: int, height: int, seed: int, strip: int) -> None:
    data = transparent(mode, width, height, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "_STRIP_PIXELS", strip)
        got = decode(data)
    assert got.mode == "RGB" and got.tobytes() == whole(data).tobytes()


def test_too_many_pixels_are_told_apart_from_broken_ones() -> None:
    with pytest.raises(PictureTooLargeError, match="30x20"):
        decode(transparent("RGBA", 30, 20, 0), max_pixels=599)
