"""What a picture's file may hold besides its pixels.

Rule: the pixels that a header states bound what decoding them costs, and nothing else of a file does. A small file can
hold millions of empty blocks, thousands of passes over the same pixels, tables of offsets without end or a tile that is
larger than the picture, each of which keeps a decoder busy for minutes. So a file is walked before it is decoded,
by its lengths alone, and one that holds more than any camera, scanner or editor writes is refused. What is merely
broken passes: the decoder says so better.
"""

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from visionthink.errors import DataError

MAX_PIECES: Final = 2**16
"""Blocks of a file, junk bytes between them included; a PNG of 64 MiPixel in pieces of 8 KiB has 25,000."""
MAX_METADATA_BYTES: Final = 4 * 2**20
"""EXIF and the like, which is taken apart before anything else; a camera writes 64 KiB."""
MAX_SCANS: Final = 100
"""Passes over the pixels of a progressive JPEG. Encoders write about 10, and libtiff draws the line here as well."""
MAX_TILE_PIXELS: Final = 2**20
"""A TIFF's tile may be this large, or twice as large as the picture."""

PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_START: Final = b"\xff\xd8\xff"
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A JPEG's segment begins; the other bytes behind ff are stuffing, padding and the restarts within a scan."""
_SOS, _EOI, _BARE_MARKERS = 0xDA, 0xD9, frozenset({0x01, 0xD8, 0xD9})
_JPEG_METADATA: Final = (b"Exif", b"Photoshop", b"MPF")
_GIF_EXTENSION, _GIF_IMAGE, _GIF_END = 0x21, 0x2C, 0x3B
_TIFF_STARTS: Final = {b"II*\0": "<", b"II\0*": "<", b"MM\0*": ">", b"MM*\0": ">", b"II+\0": "<"}
_BIG_TIFF, _BIG_MOTOROLA = b"II+\0", b"MM\0+"
_TIFF_UNITS: Final = {3: 2, 4: 4, 5: 8, 6: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a number of each type; types of bytes and text are not taken apart."""
_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 322, 323


class Chunk(NamedTuple):
    """A piece of a PNG: its kind, and where its body lies."""

    kind: bytes
    start: int
    end: int


def check_file(data: bytes) -> None:
    """Return when `data` holds nothing but its pixels that could keep a decoder busy; other formats pass.

    Raises:
        DataError: it does; the message says what.
    """
    if data.startswith(PNG_START):
        _check_png(data)
    elif data.startswith(_JPEG_START):
        _check_jpeg(data)
    elif data[:6] in (b"GIF87a", b"GIF89a"):
        _check_gif(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        _check_webp(data)
    elif data[:4] in _TIFF_STARTS:
        _check_tiff(data)
    elif data[:4] == _BIG_MOTOROLA:  # Pillow takes it for a small one, libtiff does not
        raise DataError("a BigTIFF of Motorola's byte order is not read; save it as a plain TIFF")


def png_chunks(png: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG, as far as there is room for their headers."""
    at = len(PNG_START)
    while at + 8 <= len(png):
        size_bytes, kind = struct.unpack_from(">I4s", png, at)
        yield Chunk(kind, at + 8, at + 8 + size_bytes)
        at += size_bytes + 12


def _check_png(data: bytes) -> None:
    num_metadata = 0
    for num_pieces, chunk in enumerate(png_chunks(data), start=1):
        _check_pieces(num_pieces)
        if chunk.kind == b"eXIf":
            num_metadata += chunk.end - chunk.start
    _check_metadata(num_metadata)


def _check_webp(data: bytes) -> None:
    at, num_pieces, num_metadata = 12, 0, 0
    while at + 8 <= len(data):
        kind, size_bytes = struct.unpack_from("<4sI", data, at)
        num_pieces += 1
        _check_pieces(num_pieces)
        num_metadata += size_bytes if kind == b"EXIF" else 0
        at += 8 + size_bytes + size_bytes % 2
    _check_metadata(num_metadata)


def _check_jpeg(data: bytes) -> None:
    at, num_pieces, num_metadata, num_scans = 2, 0, 0, 0
    while found := _MARKER.search(data, at):
        # Until the first scan the bytes between segments are skipped one by one.
        num_pieces += 1 if num_scans else 1 + found.start() - at
        _check_pieces(num_pieces)
        kind, at = found[0][1], found.end()
        if kind == _EOI and num_scans:
            return
        if kind in _BARE_MARKERS:
            continue
        size_bytes = int.from_bytes(data[at : at + 2], "big")
        if data.startswith(_JPEG_METADATA, at + 2):
            num_metadata += size_bytes
            _check_metadata(num_metadata)
        num_scans += kind == _SOS
        if num_scans > MAX_SCANS:
            raise DataError(f"the JPEG holds more than {MAX_SCANS} passes over its pixels; save it anew")
        at += max(2, size_bytes)
    _check_pieces(num_pieces if num_scans else num_pieces + len(data) - at)


def _check_gif(data: bytes) -> None:
    """Walk up to the first frame; nothing behind it is looked at."""
    at, num_pieces = 13 + _palette_bytes(data[10:11]), 0
    while at < len(data) and data[at] not in (_GIF_IMAGE, _GIF_END):
        num_pieces += 1
        _check_pieces(num_pieces)
        if data[at] != _GIF_EXTENSION:
            at += 1
            continue
        at += 2
        while at < len(data) and data[at]:
            num_pieces += 1
            _check_pieces(num_pieces)
            at += 1 + data[at]
        at += 1


def _palette_bytes(flags: bytes) -> int:
    return 3 << (flags[0] % 8 + 1) if flags and flags[0] & 0x80 else 0


def _check_tiff(data: bytes) -> None:
    """Look at the first directory, which is the only one that is read."""
    order, is_big = _TIFF_STARTS[data[:4]], data[:4] == _BIG_TIFF
    head, entry = (
        struct.Struct(f"{order}{'Q' if is_big else 'H'}"),
        struct.Struct(f"{order}HH{'Q8s' if is_big else 'L4s'}"),
    )
    place = struct.Struct(f"{order}{'Q' if is_big else 'L'}")
    sides: dict[int, int] = {}
    try:
        (at,) = place.unpack_from(data, 8 if is_big else 4)
        (num_entries,) = head.unpack_from(data, at)
        _check_pieces(num_entries)
        num_numbers = 0
        for index in range(num_entries):
            tag, kind, count, value = entry.unpack_from(data, at + head.size + index * entry.size)
            num_numbers += min(count, len(data)) if kind in _TIFF_UNITS else 0
            _check_pieces(num_numbers)
            if tag in (_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH):
                sides.setdefault(tag, _first_number(data, order, kind, count, value, place))
    except (struct.error, OverflowError):
        return
    tile_pixels = sides.get(_TILE_WIDTH, 0) * sides.get(_TILE_LENGTH, 0)
    if tile_pixels > max(MAX_TILE_PIXELS, 2 * sides.get(_WIDTH, 0) * sides.get(_LENGTH, 0)):
        raise DataError(f"the TIFF's tiles are of {tile_pixels} pixels, more than the picture has; save it anew")


def _first_number(data: bytes, order: str, kind: int, count: int, value: bytes, place: struct.Struct) -> int:
    """The first number of an entry, which stands in it or where it points to; 0 for none that is a size."""
    letter = {1: "B", 3: "H", 4: "L", 16: "Q"}.get(kind)
    if letter is None:
        return 0
    number = struct.Struct(f"{order}{letter}")
    is_inside = count * number.size <= len(value)
    found: int = number.unpack_from(value if is_inside else data, 0 if is_inside else place.unpack(value)[0])[0]
    return found


def _check_pieces(num_pieces: int) -> None:
    if num_pieces > MAX_PIECES:
        raise DataError(f"the file of the picture is in more than {MAX_PIECES} pieces; save it anew")


def _check_metadata(num_bytes: int) -> None:
    if num_bytes > MAX_METADATA_BYTES:
        raise DataError(
            f"the picture carries more than {MAX_METADATA_BYTES} bytes of EXIF and other metadata; save it without"
        )
