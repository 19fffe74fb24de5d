"""Every form in which a picture comes gives the pixels that a viewer shows."""

import struct
import zlib

import pytest
from PIL import Image, ImageCms
from tests.unit.made_picture import encoded, noise, png_chunk

from visionthink.errors import DataError
from visionthink.picture import FORMATS, decode

BLACK, WHITE, RED, GREY = (0, 0, 0), (255, 255, 255), (255, 0, 0), (128, 128, 128)
WIDE = [noise(40, 30), noise(40, 30, 1)]


def png(depth: int, kind: int, row: bytes, *chunks: bytes) -> bytes:
    """Two pixels in a row, as no library would write them by itself."""
    header = struct.pack(">IIBBBBB", 2, 1, depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"\0" + row)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b""))
    )


PALETTE = png_chunk(b"PLTE", bytes((*BLACK, *RED)))
GREY_PNG, RGB_PNG, PALETTE_PNG, GREY_ALPHA_PNG, RGB_ALPHA_PNG = 0, 2, 3, 4, 6


@pytest.mark.parametrize(
    ("data", "want"),
    [
        pytest.param(png(1, GREY_PNG, b"\x40"), [BLACK, WHITE], id="1 bit"),
        pytest.param(png(2, GREY_PNG, b"\x30"), [BLACK, WHITE], id="2 bits"),
        pytest.param(png(4, GREY_PNG, b"\x0f"), [BLACK, WHITE], id="4 bits"),
        pytest.param(png(8, GREY_PNG, b"\0\x80"), [BLACK, GREY], id="8 bits"),
        pytest.param(png(16, GREY_PNG, b"\0\xff\x80\0"), [BLACK, GREY], id="16 bits"),
        pytest.param(png(8, RGB_PNG, bytes((*RED, *GREY))), [RED, GREY], id="colour"),
        pytest.param(png(16, RGB_PNG, b"\xff\xff\0\0\0\0" + b"\x80\x12" * 3), [RED, GREY], id="colour of 16 bits"),
        pytest.param(png(1, PALETTE_PNG, b"\x40", PALETTE), [BLACK, RED], id="palette of 1 bit"),
        pytest.param(png(2, PALETTE_PNG, b"\x10", PALETTE), [BLACK, RED], id="palette of 2 bits"),
        pytest.param(png(4, PALETTE_PNG, b"\x01", PALETTE), [BLACK, RED], id="palette of 4 bits"),
        pytest.param(png(8, PALETTE_PNG, b"\0\1", PALETTE), [BLACK, RED], id="palette"),
        pytest.param(
            png(8, PALETTE_PNG, b"\0\1", PALETTE, png_chunk(b"tRNS", b"\0")),
            [WHITE, RED],
            id="palette with a clear one",
        ),
        pytest.param(png(8, GREY_ALPHA_PNG, b"\0\xff\0\0"), [BLACK, WHITE], id="grey with alpha"),
        pytest.param(png(16, GREY_ALPHA_PNG, b"\0\0\xff\xff\0\0\0\0"), [BLACK, WHITE], id="grey with alpha of 16 bits"),
        pytest.param(png(8, RGB_ALPHA_PNG, bytes((*RED, 255, *BLACK, 0))), [RED, WHITE], id="colour with alpha"),
        pytest.param(
            png(16, RGB_ALPHA_PNG, b"\xff\xff\0\0\0\0\xff\xff" + bytes(8)), [RED, WHITE], id="with alpha of 16 bits"
        ),
    ],
)
def test_every_png_gives_its_pixels(data: bytes, want: list[tuple[int, int, int]]) -> None:
    got = decode(data)
    assert [got.getpixel((place, 0)) for place in (0, 1)] == want


def cmyk_jpeg(*, transform: int | None, stored: tuple[int, int, int, int]) -> bytes:
    """A JPEG of one ink, with Adobe's mark of its transformation or without the mark."""
    data = encoded(Image.new("CMYK", (16, 16), stored), "JPEG", quality=100)
    at = data.index(b"\xff\xee\0\x0eAdobe")
    if transform is None:
        return data[:at] + data[at + 16 :]
    return data[: at + 15] + bytes([transform]) + data[at + 16 :]


INKS = (0, 255, 255, 0)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(Image.new("RGB", (16, 16), RED), "JPEG"), id="JPEG"),
        pytest.param(encoded(Image.new("RGB", (16, 16), RED), "JPEG", progressive=True), id="progressive JPEG"),
        pytest.param(encoded(Image.new("RGB", (16, 16), RED), "JPEG", keep_rgb=True), id="JPEG of RGB"),
        pytest.param(cmyk_jpeg(transform=0, stored=INKS), id="CMYK JPEG, inverted as Adobe does it"),
        pytest.param(cmyk_jpeg(transform=None, stored=INKS), id="CMYK JPEG without Adobe's mark"),
        pytest.param(cmyk_jpeg(transform=2, stored=(76, 84, 254, 0)), id="YCCK JPEG"),
        pytest.param(encoded(Image.new("CMYK", (16, 16), INKS), "TIFF"), id="CMYK TIFF"),
        pytest.param(encoded(Image.new("CMYK", (16, 16), INKS), "TIFF", compression="tiff_lzw"), id="CMYK TIFF, LZW"),
        pytest.param(encoded(Image.new("RGB", (16, 16), RED), "TIFF", compression="jpeg"), id="TIFF of a JPEG"),
        pytest.param(encoded(Image.new("RGB", (16, 16), RED), "TIFF", big_tiff=True), id="BigTIFF"),
        pytest.param(encoded(Image.new("RGB", (16, 16), RED), "WEBP"), id="WEBP"),
        pytest.param(encoded(Image.new("RGBA", (16, 16), (*RED, 255)), "WEBP", lossless=True), id="lossless WEBP"),
        pytest.param(encoded(Image.new("RGB", (16, 16), RED), "AVIF", quality=95), id="AVIF"),
        pytest.param(encoded(Image.new("RGBA", (16, 16), (*RED, 255)), "AVIF", quality=95), id="AVIF with alpha"),
        pytest.param(encoded(Image.new("RGB", (16, 16), RED), "GIF"), id="GIF"),
        pytest.param(encoded(Image.new("RGB", (16, 16), RED), "BMP"), id="BMP"),
        pytest.param(encoded(Image.new("RGBA", (16, 16), (*RED, 255)), "BMP"), id="BMP with alpha"),
    ],
)
def test_red_is_red_in_every_kind_of_file(data: bytes) -> None:
    got = decode(data).getpixel((8, 8))
    assert isinstance(got, tuple) and got[0] > 245 and max(got[1:]) < 10


def test_a_clear_avif_is_white() -> None:
    assert decode(encoded(Image.new("RGBA", (16, 16), (0, 0, 0, 0)), "AVIF")).getpixel((8, 8)) == WHITE


def test_a_progressive_jpeg_is_what_a_plain_one_is() -> None:
    plain, progressive = (decode(encoded(WIDE[0], "JPEG", progressive=mode)) for mode in (False, True))
    assert plain.tobytes() == progressive.tobytes()


def test_an_interlaced_gif_is_what_a_plain_one_is() -> None:
    plain, interlaced = (decode(encoded(WIDE[0], "GIF", interlace=mode)) for mode in (0, 1))
    assert plain.tobytes() == interlaced.tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_colour_profile_changes_no_pixel(kind: str) -> None:
    """As in training: what the file stores is what the model sees."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    odd = profile.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")
    assert decode(encoded(WIDE[0], kind, icc_profile=odd)).tobytes() == decode(encoded(WIDE[0], kind)).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    options = {"quality": 95} if kind in ("WEBP", "AVIF") else {}
    got = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)).getpixel((9, 9))
    assert isinstance(got, tuple) and got[0] > 240 and got[2] < 15


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_a_picture_that_is_cut_off_is_refused(kind: str, share: float) -> None:
    data = encoded(WIDE[0], kind)
    with pytest.raises(DataError, match=r"^row 3: .*; (use an undamaged one|save it as one of)"):
        decode(data[: int(len(data) * share)], name="row 3")
