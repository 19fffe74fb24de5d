"""Where does the time of a picture go, from a client's request to the bytes that a server is sent?

Rule: each step is the product's own function, measured alone on one core; the least of several tries, since what else a
machine does can only add. What is asked of every request comes first, then what only a call for the full view costs.

    python benchmarks/serving/image_path.py --out benchmarks/results/serving/image_path.json
"""

import argparse
import base64
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import scene

from visionthink.core.geometry import Size, ViewRule, full_view, quarter_view
from visionthink.picture import cut, decode, encode_png, encode_stored_png, stated_pixels
from visionthink.serving.chat_request import parse_chat_request
from visionthink.storage import atomic_write_json


def least_ms(do: Callable[[], object], tries: int) -> float:
    """Milliseconds of a core that the quickest try took."""
    found = []
    for _ in range(tries):
        start_s = time.thread_time()
        do()
        found.append(time.thread_time() - start_s)
    return round(1000 * min(found), 2)


def sent(data: bytes) -> bytes:
    """A view as it goes to a server: as text, in JSON."""
    return json.dumps({"url": "data:image/png;base64," + base64.b64encode(data).decode("ascii")}).encode()


def steps(size: Size, tries: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each step."""
    photo = scene.jpeg(scene.picture(size, 1))
    body = scene.asked(scene.data_url(photo), "What is written there?", "visionthink", temperature=0)
    text = base64.b64encode(photo).decode()
    original, rule = decode(photo), ViewRule()
    found: dict[str, dict[str, float]] = {
        "every request": {
            "parse": least_ms(lambda: parse_chat_request(body), tries),
            "base64": least_ms(lambda: base64.b64decode(text, validate=True), tries),
            "header": least_ms(lambda: stated_pixels(photo), tries),
            "decode": least_ms(lambda: decode(photo), tries),
        }
    }
    for name, view in (("quarter view", quarter_view(size, rule)), ("full view", full_view(size, rule))):
        pixels = cut(original, view)
        data = encode_stored_png(pixels)
        found[name] = {
            "cut": least_ms(lambda view=view: cut(original, view), tries),  # type: ignore[misc]
            "encode": least_ms(lambda pixels=pixels: encode_stored_png(pixels), tries),  # type: ignore[misc]
            "to text": least_ms(lambda data=data: sent(data), tries),  # type: ignore[misc]
            "(packed PNG instead: encode)": least_ms(lambda pixels=pixels: encode_png(pixels), min(tries, 3)),  # type: ignore[misc]
        }
    for part in found.values():
        part["sum"] = round(sum(value for name, value in part.items() if not name.startswith("(")), 2)
    return found


def main() -> int:
    """Measure, print, and write when told where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    parser.add_argument("--size", default="2048x1024")
    parser.add_argument("--tries", type=int, default=9)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    found = {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "size": args.size,
        "ms": steps(Size(width=width, height=height), args.tries),
    }
    print(json.dumps(found, indent=1))
    if args.out:
        atomic_write_json(args.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
