"""A picture that travels in the request, and the limits before its pixels."""

import base64
import io

import pytest
from PIL import Image
from tests.unit.engines.conversation import noise

from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_request import ImageUrl
from visionthink.serving.conversation import SentPicture
from visionthink.serving.picture_source import decoded, pixels_of, unpacked

WHERE = "messages.0.content.0.image_url"


def file_of(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return file.getvalue()


def sent(data: bytes) -> SentPicture:
    return SentPicture(ImageUrl(url="data:;base64," + base64.b64encode(data).decode()), WHERE)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(file_of(noise(30, 20), "PNG"), id="PNG"),
        pytest.param(file_of(noise(30, 20).convert("CMYK"), "JPEG"), id="CMYK JPEG"),
        pytest.param(file_of(noise(30, 20).convert("L").convert("I").convert("I;16"), "PNG"), id="16 bits"),
        pytest.param(file_of(noise(30, 20).convert("RGBA"), "WEBP", lossless=True), id="WEBP with alpha"),
        pytest.param(
            file_of(noise(30, 20), "GIF", save_all=True, append_images=[noise(30, 20, 1)]), id="GIF of two frames"
        ),
        pytest.param(file_of(noise(30, 20), "BMP"), id="BMP"),
    ],
)
def test_what_people_have_is_decoded(data: bytes) -> None:
    raw, pixels = unpacked(sent(data), max_pixels=600)
    picture = decoded(raw, max_pixels=600, where=WHERE)
    assert (raw, pixels, picture.size, picture.mode) == (data, 600, (30, 20), "RGB")


def test_a_picture_is_refused_for_its_size_before_it_is_decoded() -> None:
    cut_off = file_of(noise(30, 20), "PNG")[:200]  # the header is whole, the pixels are not
    for measure in (unpacked, lambda picture, max_pixels: pixels_of(cut_off, max_pixels=max_pixels, where=WHERE)):
        with pytest.raises(ApiError, match="30x20") as caught:
            measure(sent(cut_off), max_pixels=599)
        assert (caught.value.status, caught.value.code) == (413, "picture_too_large")


def test_a_bomb_is_too_large_and_not_broken() -> None:
    bomb = bytearray(file_of(Image.new("1", (8, 8)), "BMP"))
    bomb[18:26] = (40_000).to_bytes(4, "little") * 2
    with pytest.raises(ApiError) as caught:
        unpacked(sent(bytes(bomb)), max_pixels=2**24)
    assert (caught.value.status, caught.value.param) == (413, WHERE)


@pytest.mark.parametrize(
    "data", [b"hello", b"%PDF-1.7", file_of(noise(30, 20), "PNG")[:900]], ids=["text", "PDF", "cut off"]
)
def test_a_broken_picture_is_a_400(data: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        raw, _ = unpacked(sent(data), max_pixels=10**6)
        decoded(raw, max_pixels=10**6, where=WHERE)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_image", WHERE)
