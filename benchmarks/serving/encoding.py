"""In which form does a view travel best? Encoding, base64, the way into a server and decoding, for each form.

Rule: the pixels that a server decodes are exactly those of the view, or the form is out: every form is decoded here and
compared. Times are those of one core, the least of several tries, since what else a machine does can only add to them.

    python benchmarks/serving/encoding.py --out benchmarks/results/serving/encoding.json
"""

import argparse
import base64
import io
import json
import os
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import scene
from PIL import Image

from visionthink.core.geometry import Size, ViewRule, full_view, quarter_view
from visionthink.picture import cut, decode, encode_png
from visionthink.storage import atomic_write_json

Encode = Callable[[Image.Image], bytes]


def by_pillow(**options: Any) -> Encode:
    """Pillow's own encoder."""

    def encode(image: Image.Image) -> bytes:
        file = io.BytesIO()
        image.save(file, **options)
        return file.getvalue()

    return encode


def by_numpy(kind: str, level: int, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> Encode:
    """A PNG whose rows are filtered by numpy, all alike, and packed by zlib."""

    def encode(image: Image.Image) -> bytes:
        pixels = np.asarray(image)
        height, width, _ = pixels.shape
        rows = np.empty((height, 1 + 3 * width), dtype=np.uint8)
        flat = pixels.reshape(height, 3 * width)
        if kind == "none":
            rows[:, 0], rows[:, 1:] = 0, flat
        elif kind == "sub":
            rows[:, 0], rows[:, 1:4] = 1, flat[:, :3]
            np.subtract(flat[:, 3:], flat[:, :-3], out=rows[:, 4:])
        else:
            rows[:, 0], rows[0, 1:] = 2, flat[0]
            np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
        packer = zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
        packed = packer.compress(rows.data) + packer.flush()
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")

    return encode


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


FORMS: Final[dict[str, Encode]] = {
    "default (picture.encode_png)": encode_png,
    "PNG by Pillow, level 6": by_pillow(format="PNG"),
    "PNG by Pillow, level 1": by_pillow(format="PNG", compress_level=1),
    "PNG by Pillow, level 0": by_pillow(format="PNG", compress_level=0),
    "PNG, no filter, stored": by_numpy("none", 0),
    "PNG, no filter, level 1": by_numpy("none", 1),
    "PNG, sub filter, level 1": by_numpy("sub", 1),
    "PNG, sub filter, Huffman": by_numpy("sub", 1, zlib.Z_HUFFMAN_ONLY),
    "PNG, sub filter, run lengths": by_numpy("sub", 1, zlib.Z_RLE),
    "PNG, up filter, run lengths": by_numpy("up", 1, zlib.Z_RLE),
    "WebP lossless, method 0": by_pillow(format="WEBP", lossless=True, quality=0, method=0),
    "BMP": by_pillow(format="BMP"),
    "TIFF": by_pillow(format="TIFF"),
}


def least(do: Callable[[], object], tries: int) -> float:
    """Milliseconds of the quickest try."""
    found = []
    for _ in range(tries):
        start_s = time.thread_time()
        do()
        found.append(time.thread_time() - start_s)
    return round(1000 * min(found), 2)


def received(data: bytes) -> np.ndarray[Any, Any]:
    """The pixels as a server sees them."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def costs(encode: Encode, view: Image.Image, tries: int) -> dict[str, Any]:
    """What a form costs on either side."""
    data = encode(view)
    url = "data:image/any;base64," + base64.b64encode(data).decode()
    body = json.dumps({"url": url}).encode()
    found: dict[str, Any] = {
        "is_exact": bool(np.array_equal(received(data), np.asarray(view))),
        "size_bytes": len(data),
        "encode_ms": least(lambda: encode(view), tries),
        "to_text_ms": least(lambda: json.dumps({"url": base64.b64encode(data).decode()}).encode(), tries),
        "from_text_ms": least(lambda: base64.b64decode(json.loads(body)["url"].partition(",")[2]), tries),
        "decode_ms": least(lambda: received(data), tries),
    }
    found["all_ms"] = round(sum(value for name, value in found.items() if name.endswith("_ms")), 2)
    return found


def main() -> int:
    """Measure, print, and write when told where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    parser.add_argument("--size", default="2048x1024")
    parser.add_argument("--tries", type=int, default=7)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    size = Size(width=width, height=height)
    photo = scene.jpeg(scene.picture(size, 1))
    original = decode(photo)
    found: dict[str, Any] = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1), "jpeg": len(photo)}
    for view in (quarter_view(size, ViewRule()), full_view(size, ViewRule())):
        pixels = cut(original, view)
        name = f"{view.size.width}x{view.size.height}"
        found[name] = {}
        for form, encode in FORMS.items():
            found[name][form] = told = costs(encode, pixels, args.tries)
            print(name, form, json.dumps(told), flush=True)
    if args.out:
        atomic_write_json(args.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
