"""Pictures to decode and to cut."""

import io
import random
import struct
import zlib

from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def noise(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    num_bytes = len(Image.new(mode, (width, height)).tobytes())
    return Image.frombytes(mode, (width, height), random.Random(seed).randbytes(num_bytes))


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format=file_format, **options)
    return file.getvalue()


def with_orientation(image: Image.Image, file_format: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, file_format, exif=exif)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
