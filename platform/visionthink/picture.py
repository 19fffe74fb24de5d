"""Encoded pictures in, upright RGB pictures and views out.

Rule: pixels are decoded and resampled here and nowhere else. Labelling, training, evaluation and serving compare what
a model does with a small and with a large view of one picture; a second decoder (no EXIF, another filter, another
rounding of 16 bits) would change the views in one stage and not in the other, and no number would show why.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from PIL import ExifTags, Image, UnidentifiedImageError

from visionthink.core.excerpt import excerpt
from visionthink.core.geometry import Size, View, oriented
from visionthink.errors import DataError
from visionthink.picture_file import PNG_START, check_file, png_chunks

MAX_PIXELS: Final = 64 * 1024**2
"""The largest picture that is decoded: 64 MiPixel, 192 MiB as RGB. Pillow refuses twice its own 85 MiPixel anyway."""

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What is decoded. A closed list, because some of Pillow's other plug-ins start programs (EPS runs Ghostscript)."""

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of this EXIF orientation upright. 1, and any number that the standard does not know: nothing."""

_EIGHT_BITS: Final = [value >> 8 for value in range(2**16)]
"""16 to 8 bits: the upper byte, which is what Pillow itself keeps of a 16-bit RGB picture."""

_MAX_NAME: Final = 120
"""Characters of a picture's name in a message."""
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_NO_FILTER: Final = b"\0"
"""What a PNG's row begins with when its bytes are the pixels themselves."""
_PNG_METADATA: Final = frozenset({b"IHDR", b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
"""The chunks in which a PNG's size and orientation stand; some programs write EXIF and XMP as text."""
_STRIP_PIXELS: Final = 2**18
"""Pixels of a strip in which transparency is laid over white."""

# What Pillow's decoders raise on bytes that are not what they claim to be; the tests feed them noise.
_BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)


class PictureTooLargeError(DataError):
    """A picture has more pixels than are decoded."""


def decode(data: bytes, *, name: str = "picture", max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture to RGB, upright, transparent pixels over white.

    The first frame of an animation is taken. `name` says in errors which picture it was; `max_pixels` is checked on
    the header, before any pixel is decoded.

    Raises:
        DataError: the bytes are no picture, a broken one, or one of more than `max_pixels`.
    """
    name = excerpt(name, _MAX_NAME)
    image = _open(data, name, max_pixels)
    try:
        image.load()
    except _BROKEN as error:
        raise DataError(
            f"{name}: the {image.format} picture is corrupt or truncated ({_said(error)}); use an undamaged one"
        ) from error
    return upright(image, name=name)


def upright(image: Image.Image, *, name: str = "picture") -> Image.Image:
    """A picture that somebody else decoded, as `decode` gives it: RGB, upright, transparent pixels over white.

    Raises:
        DataError: its pixels have no known range.
    """
    try:
        picture = _rgb(image)
    except _BROKEN as error:
        raise DataError(
            f"{name}: pixels of mode {image.mode} cannot be turned into RGB ({_said(error)}); "
            "save the picture as 8-bit RGB"
        ) from error
    # Without the file's metadata nothing downstream can turn the picture a second time.
    picture.info.clear()
    turn = _UPRIGHT.get(_orientation(image))
    return picture if turn is None else picture.transpose(turn)


def size_of(data: bytes, *, name: str = "picture", max_pixels: int = MAX_PIXELS) -> Size:
    """Return the upright size of a picture from its headers; broken pixels are not noticed.

    A PNG is walked to its end, chunk by chunk, because what turns it may stand behind the pixels.

    Raises:
        DataError: the bytes are no picture or one of more than `max_pixels`.
    """
    image = _open(data, excerpt(name, _MAX_NAME), max_pixels)
    turned = _orientation(image) if image.format != "PNG" else _orientation_of_png(data)
    return oriented(Size(width=image.width, height=image.height), turned)


def stated_pixels(data: bytes, *, name: str = "picture", max_pixels: int = MAX_PIXELS) -> int:
    """Return the pixels that a picture's header states; nothing is decoded.

    Raises:
        DataError: the bytes are no picture or one of more than `max_pixels`.
    """
    image = _open(data, name, max_pixels)
    return image.width * image.height


def cut(picture: Image.Image, view: View) -> Image.Image:
    """Return the pixels of `view`, resampled with LANCZOS from the decoded original, exactly `view.size` large.

    The box is cut out first, so that no pixel beside it bleeds into the edges of the view.

    Raises:
        ValueError: the picture is not RGB, or the box reaches out of it.
    """
    if picture.mode != "RGB":
        raise ValueError(f"cut needs an RGB picture, got mode {picture.mode}; decode() makes one")
    target = (view.size.width, view.size.height)
    if view.box is None:
        return picture.resize(target, Image.Resampling.LANCZOS)
    box = (view.box.left, view.box.top, view.box.right, view.box.bottom)
    if not (0 <= box[0] < box[2] <= picture.width and 0 <= box[1] < box[3] <= picture.height):
        raise ValueError(f"box {box} is empty or reaches out of the picture of {picture.width}x{picture.height} pixels")
    return picture.crop(box).resize(target, Image.Resampling.LANCZOS)


def encode_png(picture: Image.Image) -> bytes:
    """Return the picture as PNG without metadata: equal pixels give equal bytes (of one Pillow and zlib)."""
    file = io.BytesIO()
    bare = picture.copy()
    bare.info.clear()
    bare.save(file, format="PNG")
    return file.getvalue()


def encode_stored_png(picture: Image.Image) -> bytes:
    """Return an RGB picture as a PNG whose pixels are stored, not packed.

    For a way that costs less than packing does, as between programs of one machine or cluster: a photograph is about
    2.5 times as large as from `encode_png`, written and read in a tenth of the time
    (benchmarks/results/serving/encoding.json).

    Raises:
        ValueError: the picture is not RGB.
    """
    if picture.mode != "RGB":
        raise ValueError(f"a stored PNG needs an RGB picture, got mode {picture.mode}; decode() makes one")
    pixels, stride = memoryview(picture.tobytes()), 3 * picture.width
    rows = [part for start in range(0, len(pixels), stride) for part in (_NO_FILTER, pixels[start : start + stride])]
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 0)  # 8 bits of three colours
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 0)), (b"IEND", b""))
    return b"".join((_PNG_START, *(_chunk(kind, body) for kind, body in chunks)))


def _open(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """Read the header of a picture and check its size."""
    if not data:
        raise DataError(f"{name}: the picture is empty (0 bytes); use a whole one")
    try:
        check_file(data)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureTooLargeError(
            f"{name}: {_said(error)}; shrink the picture to at most {max_pixels} pixels"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name}: {len(data)} bytes starting with {data[:8]!r} are no picture, or one with a broken header or "
            f"without pixels; save it as one of {', '.join(FORMATS)}"
        ) from error
    except _BROKEN as error:
        raise DataError(
            f"{name}: the header of the picture is corrupt ({_said(error)}); use an undamaged one"
        ) from error
    if width * height > max_pixels:
        raise PictureTooLargeError(
            f"{name}: the picture has {width}x{height} = {width * height} pixels, more than the limit of {max_pixels}; "
            "shrink it, or raise max_pixels"
        )
    return image


def _said(error: Exception) -> str:
    """Return what Pillow says, in short."""
    return excerpt(str(error), 110)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied, 1 when there is none or it cannot be read."""
    if image.format == "TIFF":
        return 1  # Pillow turns a TIFF itself, and states the upright size from the start.
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _BROKEN:
        return 1  # Cameras and editors write broken EXIF blocks; every viewer shows such a picture as it is stored.
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _orientation_of_png(data: bytes) -> int:
    """Return what `_orientation` gives of the decoded picture; Pillow would inflate the pixels to get at it."""
    try:
        bare = Image.open(io.BytesIO(_without_pixels(data)), formats=("PNG",))
        # Not PngImageFile.getexif, which decodes the picture first.
        value = Image.Image.getexif(bare).get(ExifTags.Base.Orientation, 1)
    except _BROKEN:
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _without_pixels(png: bytes) -> bytes:
    """Return a PNG of the same header and metadata, all of it in front of no pixels."""
    chunks = [_chunk(kind, body) for kind, body in _chunks(png) if kind in _PNG_METADATA]
    return b"".join((PNG_START, *chunks, _chunk(b"IDAT", b""), _chunk(b"IEND", b"")))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kinds of the chunks up to the second frame, with their bodies where they are metadata."""
    is_animated, has_pixels = False, False
    for kind, start, end in png_chunks(png):
        is_animated, has_pixels = is_animated or kind == b"acTL", has_pixels or kind == b"IDAT"
        if kind == b"IEND" or (kind == b"fcTL" and is_animated and has_pixels):
            return
        yield kind, png[start:end] if kind in _PNG_METADATA else b""


def _chunk(kind: bytes, body: bytes) -> bytes:
    return b"".join((struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))))


def _rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded picture of any mode to RGB."""
    if image.mode == "F":
        raise ValueError("floating-point numbers have no known range")
    if image.mode.startswith("I"):
        return image.convert("I").point(_EIGHT_BITS, "L").convert("RGB")
    if image.has_transparency_data:
        return _over_white(image)
    return image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    """Lay a picture with transparency over white, a strip at a time: whole copies would cost three times its memory."""
    flat = Image.new("RGB", image.size)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        drawn = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        white = Image.new("RGBA", drawn.size, (255, 255, 255, 255))
        flat.paste(Image.alpha_composite(white, drawn).convert("RGB"), (0, top))
    return flat
