"""Small files that would keep a decoder busy for minutes are refused before one sees them; others pass."""

import io
import random
import struct
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.unit.made_picture import encoded, noise, png_chunk

from visionthink.errors import DataError
from visionthink.picture import decode, stated_pixels
from visionthink.picture_file import MAX_METADATA_BYTES, MAX_PIECES, MAX_SCANS, check_file

PNG, JPEG, GIF = encoded(noise(8, 8)), encoded(noise(8, 8), "JPEG"), encoded(noise(8, 8).convert("P"), "GIF")
WEBP = encoded(noise(8, 8), "WEBP")
FIRST_FRAME = 13 + (3 << (GIF[10] % 8 + 1))


def png_with(chunks: bytes, *, is_behind: bool = False) -> bytes:
    at = len(PNG) - 12 if is_behind else 33
    return PNG[:at] + chunks + PNG[at:]


def jpeg_with(pieces: bytes) -> bytes:
    return JPEG[:2] + pieces + JPEG[2:]


def segment(kind: int, body: bytes) -> bytes:
    return bytes((0xFF, kind)) + struct.pack(">H", len(body) + 2) + body


def jpeg_of_scans(num_more: int) -> bytes:
    """A progressive JPEG whose last scan is said again and again."""
    data = encoded(Image.new("RGB", (64, 64), "teal"), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    table = data.rfind(b"\xff\xc4", 0, last)
    return data[:table] + data[table:-2] * (1 + num_more) + data[-2:]


def num_scans_of(data: bytes) -> int:
    return data.count(b"\xff\xda")


def gif_with(blocks: bytes) -> bytes:
    return GIF[:FIRST_FRAME] + blocks + GIF[FIRST_FRAME:]


def webp_with(kind: bytes, body: bytes) -> bytes:
    chunks = WEBP[12:] + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def tiff(
    *entries: tuple[int, int, int, int], order: str = "<", is_big: bool = False, pixels: bytes = bytes(256)
) -> bytes:
    """A grey TIFF of 16x16 pixels with these entries (tag, type, count, value or place) besides or instead."""
    place = 16 if is_big else 8
    usual = {
        tag: (tag, 3, 1, value)
        for tag, value in (
            (256, 16),
            (257, 16),
            (258, 8),
            (259, 1),
            (262, 1),
            (273, place),
            (277, 1),
            (278, 16),
            (279, 256),
        )
    }
    found = sorted({**usual, **{entry[0]: entry for entry in entries}}.values())
    letter = "Q" if is_big else "L"
    # Numbers that fit in an entry stand at its beginning, whatever the order of bytes.
    body = b"".join(
        struct.pack(f"{order}HH{letter}", *entry[:3])
        + struct.pack(f"{order}H" if entry[1] == 3 and entry[2] == 1 else f"{order}{letter}", entry[3]).ljust(
            8 if is_big else 4, b"\0"
        )
        for entry in found
    )
    mark = {"<": b"II", ">": b"MM"}[order]
    head = (
        struct.pack(f"{order}HHHQ", 43, 8, 0, 16 + len(pixels))
        if is_big
        else struct.pack(f"{order}HL", 42, 8 + len(pixels))
    )
    count = struct.pack(f"{order}{'Q' if is_big else 'H'}", len(found))
    return mark + head + pixels + count + body + bytes(8 if is_big else 4)


EMPTY = png_chunk(b"prVt", b"")
MANY, LARGE, SCANS, TILES = "65536 pieces", "bytes of EXIF", "passes over its pixels", "tiles are of"


@pytest.mark.parametrize(
    ("data", "match"),
    [
        pytest.param(png_with(EMPTY * MAX_PIECES), MANY, id="PNG of empty chunks"),
        pytest.param(png_with(EMPTY * MAX_PIECES, is_behind=True), MANY, id="PNG of empty chunks behind the pixels"),
        pytest.param(png_with(png_chunk(b"IDAT", b"") * MAX_PIECES), MANY, id="PNG of empty pixels"),
        pytest.param(png_with(png_chunk(b"eXIf", bytes(MAX_METADATA_BYTES + 1))), LARGE, id="PNG of EXIF"),
        pytest.param(jpeg_with(segment(0xE5, b"") * MAX_PIECES), MANY, id="JPEG of empty segments"),
        pytest.param(jpeg_with(b"\xff" * (MAX_PIECES + 9)), MANY, id="JPEG of padding"),
        pytest.param(JPEG[:20] + bytes(MAX_PIECES + 9) + JPEG[20:], MANY, id="JPEG of junk"),
        pytest.param(JPEG[:20] + b"\xff\0" * MAX_PIECES, MANY, id="JPEG of stuffing alone"),
        pytest.param(jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 65), LARGE, id="JPEG of EXIF"),
        pytest.param(
            jpeg_with(segment(0xED, b"Photoshop 3.0\0" + b"8BIM\0\0\0\0\0\0\0\0" * 5000) * 70), LARGE, id="JPEG of 8BIM"
        ),
        pytest.param(jpeg_of_scans(MAX_SCANS), SCANS, id="JPEG of scans"),
        pytest.param(gif_with(b"\x21\xfe" + b"\1a" * MAX_PIECES + b"\0"), MANY, id="GIF of a comment"),
        pytest.param(gif_with(b"\x21\xf0\0" * (MAX_PIECES + 1)), MANY, id="GIF of empty extensions"),
        pytest.param(gif_with(bytes(MAX_PIECES + 1)), MANY, id="GIF of junk"),
        pytest.param(webp_with(b"EXIF", bytes(MAX_METADATA_BYTES + 2)), LARGE, id="WEBP of EXIF"),
        pytest.param(webp_with(b"junk", b"") + b"junk\0\0\0\0" * MAX_PIECES, MANY, id="WEBP of empty chunks"),
        pytest.param(tiff((273, 4, 70_000, 8), pixels=bytes(280_000)), MANY, id="TIFF of strips"),
        pytest.param(tiff((258, 3, 70_000, 8), pixels=bytes(280_000)), MANY, id="TIFF of depths"),
        pytest.param(tiff((322, 3, 1, 40_000), (323, 3, 1, 40_000)), TILES, id="TIFF of one tile"),
        pytest.param(tiff((322, 4, 1, 40_000), (323, 4, 1, 40_000)), TILES, id="TIFF of one tile in long numbers"),
        pytest.param(tiff((322, 3, 1, 40_000), (323, 3, 1, 40_000), order=">"), TILES, id="TIFF of Motorola's order"),
        pytest.param(tiff((322, 3, 1, 40_000), (323, 3, 1, 40_000), is_big=True), TILES, id="BigTIFF"),
        pytest.param(tiff(order=">", is_big=True), "Motorola", id="BigTIFF of Motorola's order"),
    ],
)
def test_a_file_that_keeps_a_decoder_busy_is_refused_at_once(data: bytes, match: str) -> None:
    start_s = time.perf_counter()
    for measure in (decode, stated_pixels):
        with pytest.raises(DataError, match=f"^row 3: .*{match}.*; save it ") as caught:
            measure(data, name="row 3")
        assert len(str(caught.value)) < 200
    assert time.perf_counter() - start_s < 5.0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png_with(EMPTY * (MAX_PIECES - 9)), id="PNG of chunks"),
        pytest.param(png_with(png_chunk(b"eXIf", bytes(MAX_METADATA_BYTES))), id="PNG of EXIF"),
        pytest.param(jpeg_with(segment(0xE2, bytes(60_000)) * 200), id="JPEG of a large profile"),
        pytest.param(jpeg_with(b"\xff" * 900), id="JPEG of some padding"),
        pytest.param(JPEG + jpeg_of_scans(MAX_SCANS), id="JPEG with more behind its end"),
        pytest.param(JPEG + b"\xff\xda" * 9000, id="JPEG with a film behind its end"),
        pytest.param(jpeg_with(segment(0xEF, b"\xff\xda" * 200)), id="JPEG whose metadata looks like scans"),
        pytest.param(jpeg_of_scans(MAX_SCANS - num_scans_of(jpeg_of_scans(0))), id="JPEG of as many scans as may be"),
        pytest.param(gif_with(b"\x21\xfe" + b"\1a" * 9000 + b"\0"), id="GIF of a long comment"),
        pytest.param(
            tiff((322, 3, 1, 512), (323, 3, 1, 512), (324, 3, 1, 8), (325, 4, 1, 256)), id="TIFF of a large tile"
        ),
    ],
)
def test_what_is_merely_odd_passes(data: bytes) -> None:
    check_file(data)


@pytest.mark.parametrize(("order", "is_big"), [("<", False), (">", False), ("<", True)])
def test_the_tiff_of_these_tests_is_one(order: str, is_big: bool) -> None:
    assert decode(tiff(order=order, is_big=is_big)).size == (16, 16)


@given(
    width=st.integers(1, 60),
    height=st.integers(1, 60),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]),
    options=st.fixed_dictionaries(
        {}, optional={"progressive": st.just(True), "interlace": st.just(1), "compression": st.just("tiff_lzw")}
    ),
)
def test_what_pillow_writes_passes(width: int, height: int, mode: str, kind: str, options: dict[str, object]) -> None:
    file = io.BytesIO()
    try:
        noise(width, height).convert("L" if mode == "I;16" else mode).convert(mode).save(file, format=kind, **options)
    except (OSError, ValueError):
        return  # not every kind holds every mode
    check_file(file.getvalue())


@given(kind=st.sampled_from([PNG, JPEG, GIF, WEBP, tiff(), tiff(is_big=True)]), seed=st.integers(0, 2**32))
def test_any_bytes_pass_or_are_a_data_error(kind: bytes, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(kind)
    for _ in range(chance.randrange(9)):
        data[chance.randrange(len(data))] = chance.choice((0, 1, 0xDA, 0xFF, chance.randrange(256)))
    try:
        check_file(bytes(data[: chance.randrange(len(data) + 1)]))
    except DataError:
        return


@pytest.mark.parametrize(
    "start", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0", b"MM\0+"]
)
@pytest.mark.parametrize("junk", [b"", b"\0", b"\xff", b"\xff\xda", b"\xff\0", b"\x21\xff\x01", zlib.compress(b"a")])
def test_hostile_bytes_cost_little(start: bytes, junk: bytes) -> None:
    data = start + junk * (10_000_000 // max(1, len(junk)))
    start_s = time.perf_counter()
    try:
        check_file(data)
    except DataError as error:
        assert len(str(error)) < 200
    assert time.perf_counter() - start_s < 2.0
