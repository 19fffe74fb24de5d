"""Decoding to upright RGB."""

import io
import struct
import warnings
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tests.unit.made_picture import BLUE, GREEN, RED, WHITE, encoded, noise, png_chunk, with_orientation

from visionthink.core.geometry import Size
from visionthink.errors import DataError
from visionthink.picture import decode, size_of, upright


def corners(image: Image.Image) -> list[object]:
    """Top left, top right, bottom right, bottom left."""
    right, bottom = image.width - 1, image.height - 1
    return [image.getpixel(place) for place in ((0, 0), (right, 0), (right, bottom), (0, bottom))]


@pytest.fixture
def flag() -> Image.Image:
    """2x3 pixels whose four corners differ."""
    image = Image.new("RGB", (2, 3), WHITE)
    for place, colour in (((0, 0), RED), ((1, 0), GREEN), ((1, 2), BLUE)):
        image.putpixel(place, colour)
    return image


@pytest.mark.parametrize(
    ("orientation", "want"),
    [
        pytest.param(1, [RED, GREEN, BLUE, WHITE], id="1 stored upright"),
        pytest.param(2, [GREEN, RED, WHITE, BLUE], id="2 mirrored left to right"),
        pytest.param(3, [BLUE, WHITE, RED, GREEN], id="3 upside down"),
        pytest.param(4, [WHITE, BLUE, GREEN, RED], id="4 mirrored top to bottom"),
        pytest.param(5, [RED, WHITE, BLUE, GREEN], id="5 rows stored as columns"),
        pytest.param(6, [WHITE, RED, GREEN, BLUE], id="6 a quarter turn left of upright"),
        pytest.param(7, [BLUE, GREEN, RED, WHITE], id="7 rows stored as columns backwards"),
        pytest.param(8, [GREEN, BLUE, WHITE, RED], id="8 a quarter turn right of upright"),
    ],
)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_decode_turns_the_picture_upright(
    flag: Image.Image, file_format: str, orientation: int, want: list[object]
) -> None:
    got = decode(with_orientation(flag, file_format, orientation))
    assert corners(got) == want
    assert got.size == ((3, 2) if orientation >= 5 else (2, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_decode_agrees_with_pillow_on_every_orientation(file_format: str, orientation: int) -> None:
    data = with_orientation(noise(17, 9), file_format, orientation)
    want = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    got = decode(data)
    assert (got.size, got.tobytes()) == (want.size, want.tobytes())
    assert size_of(data) == Size(width=want.width, height=want.height)


def exif_block(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes().removeprefix(b"Exif\x00\x00")


def behind_the_pixels(chunk: bytes) -> bytes:
    plain = encoded(noise(17, 9))
    return plain[:-12] + chunk + plain[-12:]


def before_the_pixels(chunk: bytes) -> bytes:
    plain = encoded(noise(17, 9))
    return plain[:33] + chunk + plain[33:]


XMP = b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
RAW = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % 26 + (b"Exif\0\0" + exif_block(6)).hex().encode())


@pytest.mark.parametrize(
    ("data", "want"),
    [
        pytest.param(behind_the_pixels(png_chunk(b"eXIf", exif_block(6))), (9, 17), id="EXIF behind the pixels"),
        pytest.param(before_the_pixels(png_chunk(b"eXIf", exif_block(8))), (9, 17), id="EXIF before the pixels"),
        pytest.param(behind_the_pixels(png_chunk(b"eXIf", exif_block(3))), (17, 9), id="upside down"),
        pytest.param(behind_the_pixels(png_chunk(b"iTXt", XMP)), (9, 17), id="XMP behind the pixels"),
        pytest.param(before_the_pixels(png_chunk(b"iTXt", XMP)), (9, 17), id="XMP before the pixels"),
        pytest.param(behind_the_pixels(png_chunk(b"zTXt", RAW)), (9, 17), id="EXIF as text, as ImageMagick writes it"),
        pytest.param(
            before_the_pixels(png_chunk(b"eXIf", exif_block(1)))[:-12] + png_chunk(b"eXIf", exif_block(6)),
            (9, 17),
            id="the last of two counts",
        ),
        pytest.param(behind_the_pixels(png_chunk(b"eXIf", b"broken")), (17, 9), id="broken EXIF"),
        pytest.param(behind_the_pixels(png_chunk(b"prVt", b"x" * 99)), (17, 9), id="a private chunk"),
    ],
)
def test_size_of_a_png_is_that_of_the_decoded_picture(data: bytes, want: tuple[int, int]) -> None:
    assert size_of(data) == Size(width=want[0], height=want[1])
    assert decode(data).size == want


def test_size_of_an_animation_is_that_of_its_first_frame() -> None:
    frames = [noise(17, 9, seed) for seed in range(3)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    late = data[:-12] + png_chunk(b"eXIf", exif_block(6)) + data[-12:]
    for one in (data, late):
        got = decode(one).size
        assert size_of(one) == Size(width=got[0], height=got[1])


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_size_does_not_need_the_pixels(file_format: str) -> None:
    data = bytearray(with_orientation(noise(170, 90), file_format, 6))
    middle = len(data) // 2
    data[middle : middle + 500] = bytes(500)
    if file_format == "PNG":
        with pytest.raises(DataError, match="corrupt"):
            decode(bytes(data))
    assert size_of(bytes(data)) == Size(width=90, height=170)


@given(data=st.data())
@settings(max_examples=200)
def test_size_of_a_damaged_png_is_that_of_the_decoded_picture_if_there_is_one(data: st.DataObject) -> None:
    chunk = png_chunk(b"eXIf", exif_block(data.draw(st.integers(1, 8))))
    whole = bytearray(data.draw(st.sampled_from([before_the_pixels, behind_the_pixels]))(chunk))
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            want = decode(bytes(whole), max_pixels=10_000).size
        except DataError:
            return
        assert size_of(bytes(whole)) == Size(width=want[0], height=want[1])


@pytest.mark.parametrize(
    "data",
    [encoded(noise(9, 9))[:-60], b"no picture", b"", png_chunk(b"x", b"y") * 99],
    ids=["cut", "text", "none", "x"],
)
def test_error_is_short_however_long_the_name(data: bytes) -> None:
    with pytest.raises(DataError) as caught:
        decode(data, name="row " + "x" * 400_000)
    assert len(str(caught.value)) < 320


def test_decode_leaves_no_orientation_to_apply_twice(flag: Image.Image) -> None:
    got = decode(with_orientation(flag, "JPEG", 6))
    assert 0x0112 not in got.getexif()


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_decode_ignores_an_orientation_outside_the_standard(flag: Image.Image, value: int) -> None:
    assert decode(with_orientation(flag, "PNG", value)).tobytes() == flag.tobytes()


def test_decode_ignores_a_broken_exif_block(flag: Image.Image) -> None:
    data = encoded(flag, "PNG", exif=b"Exif\x00\x00this is no TIFF header")
    assert decode(data).tobytes() == flag.tobytes()
    assert size_of(data) == Size(width=2, height=3)


def half_clear(mode: str) -> Image.Image:
    """One black pixel that is seen and one that is clear."""
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    return image.convert(mode)


def clear_palette() -> Image.Image:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = 1
    return image


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(half_clear("RGBA")), id="RGBA"),
        pytest.param(encoded(half_clear("LA")), id="LA"),
        pytest.param(encoded(clear_palette()), id="P with a clear colour"),
        pytest.param(encoded(clear_palette(), "GIF"), id="GIF with a clear colour"),
        pytest.param(encoded(Image.frombytes("L", (2, 1), b"\x00\x07"), transparency=7), id="L with a clear value"),
        pytest.param(
            encoded(Image.frombytes("RGB", (2, 1), bytes([0, 0, 0, *RED])), transparency=RED),
            id="RGB with a clear colour",
        ),
        pytest.param(encoded(half_clear("RGBA"), "WEBP", lossless=True), id="WEBP"),
    ],
)
def test_decode_puts_clear_pixels_over_white(data: bytes) -> None:
    got = decode(data)
    assert got.mode == "RGB"
    assert [got.getpixel((0, 0)), got.getpixel((1, 0))] == [(0, 0, 0), WHITE]


def test_decode_blends_half_clear_pixels_with_white() -> None:
    got = decode(encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 128)))).getpixel((0, 0))
    assert got == (255, 127, 127)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_decode_keeps_the_upper_byte_of_16_bits(file_format: str) -> None:
    image = Image.frombytes("I;16", (4, 1), b"\x00\x00\xff\x00\x00\x80\xff\xff")
    got = decode(encoded(image, file_format))
    assert list(got.tobytes()) == [0, 0, 0, 0, 0, 0, 128, 128, 128, 255, 255, 255]


@pytest.mark.parametrize(
    ("image", "file_format"),
    [
        pytest.param(noise(8, 8, mode="CMYK"), "JPEG", id="CMYK"),
        pytest.param(noise(8, 8, mode="CMYK"), "TIFF", id="CMYK TIFF"),
        pytest.param(noise(8, 8).convert("P"), "PNG", id="P"),
        pytest.param(noise(8, 8).convert("1"), "PNG", id="black and white"),
        pytest.param(noise(8, 8).convert("L"), "JPEG", id="L"),
        pytest.param(noise(8, 8).convert("YCbCr"), "TIFF", id="YCbCr"),
        pytest.param(noise(8, 8), "BMP", id="BMP"),
    ],
)
def test_decode_gives_rgb_as_pillow_does(image: Image.Image, file_format: str) -> None:
    data = encoded(image, file_format)
    want = Image.open(io.BytesIO(data)).convert("RGB")
    got = decode(data)
    assert (got.mode, got.size, got.tobytes()) == ("RGB", (8, 8), want.tobytes())


def test_decode_takes_the_first_frame_of_an_animation() -> None:
    first, second = Image.new("RGB", (4, 4), RED), Image.new("RGB", (4, 4), BLUE)
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    assert decode(data).getpixel((1, 1)) == RED


def test_decode_refuses_floating_point_pixels_and_says_what_to_do() -> None:
    data = encoded(Image.new("F", (2, 2), 0.5), "TIFF")
    with pytest.raises(DataError, match=r"row 3: pixels of mode F .* save the picture as 8-bit RGB"):
        decode(data, name="row 3")


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds one pixel's data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0\0\0")) + chunk(b"IEND", b"")
    )


def without_pixels(file_format: str, marker: bytes, offset: int, num_bytes: int) -> bytes:
    """A picture whose width and height, which stand at an offset from a marker, are overwritten by 0."""
    data = bytearray(encoded(Image.new("L", (3, 3)), file_format))
    start = data.index(marker) + offset
    data[start : start + num_bytes] = bytes(num_bytes)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "want"),
    [
        pytest.param(b"", "row 7: the picture is empty", id="no bytes"),
        pytest.param(
            b"<html>not found</html>", "row 7: 22 bytes starting with b'<html>no' are no picture, or", id="a web page"
        ),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "row 7: .* are no picture, or", id="EPS"),
        pytest.param(encoded(noise(64, 64))[:-400], "row 7: the PNG picture is corrupt or truncated", id="cut-off PNG"),
        pytest.param(
            encoded(noise(64, 64), "JPEG")[:-400], "row 7: the JPEG picture is corrupt or truncated", id="cut-off JPEG"
        ),
        pytest.param(
            encoded(noise(64, 64), "WEBP")[:-400], "row 7: the header of the picture is corrupt", id="cut-off WEBP"
        ),
        pytest.param(png_header(0, 5), "row 7: .* without pixels", id="PNG without pixels"),
        pytest.param(without_pixels("BMP", b"BM", 18, 4), "row 7: .* without pixels", id="BMP without pixels"),
        pytest.param(without_pixels("JPEG", b"\xff\xc0", 5, 4), "row 7: .* without pixels", id="JPEG without pixels"),
        pytest.param(
            png_header(9000, 9000), "row 7: the picture has 9000x9000 = 81000000 pixels", id="above the limit"
        ),
        pytest.param(png_header(60000, 60000), "row 7: .*decompression bomb.* shrink the picture", id="a bomb"),
    ],
)
def test_decode_names_the_picture_and_what_is_wrong(data: bytes, want: str) -> None:
    with pytest.raises(DataError, match=want):
        decode(data, name="row 7")


def test_decode_reads_the_size_before_the_pixels() -> None:
    broken_and_large = png_header(3000, 3000)
    with pytest.raises(DataError, match="more than the limit of 1000"):
        decode(broken_and_large, max_pixels=1000)


def test_decode_allows_just_the_limit() -> None:
    assert decode(encoded(noise(10, 10)), max_pixels=100).size == (10, 10)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@given(data=st.data())
@settings(max_examples=150)
def test_decode_of_damaged_bytes_is_a_picture_or_a_data_error(file_format: str, data: st.DataObject) -> None:
    whole = bytearray(with_orientation(noise(24, 16), file_format, 6))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow also warns of broken EXIF and TIFF tags
        try:
            got = decode(damaged, max_pixels=10_000)
        except DataError:
            return
    assert got.mode == "RGB"


@given(st.binary(max_size=200))
def test_decode_of_noise_is_a_data_error(data: bytes) -> None:
    with pytest.raises(DataError):
        decode(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
def test_upright_makes_of_an_opened_picture_what_decode_makes_of_its_bytes(mode: str) -> None:
    data = with_orientation(noise(5, 3, mode=mode), "PNG", 6)
    opened = Image.open(io.BytesIO(data))
    got, want = upright(opened), decode(data)
    assert (got.mode, got.size, got.tobytes()) == (want.mode, want.size, want.tobytes()) and got.size == (3, 5)
    assert opened.size == (5, 3) and "exif" in opened.info, "its owner's picture stays as it was"


def test_upright_names_a_picture_of_no_known_range() -> None:
    with pytest.raises(DataError, match="pope document 3: pixels of mode F cannot be turned into RGB"):
        upright(Image.new("F", (2, 2)), name="pope document 3")
