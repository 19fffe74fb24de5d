"""The pictures of the GPU experiment and their views, made once and stored as the URLs in which they travel.

Rule: nothing is cut or encoded while the clock runs, but by what is measured.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import scene

from visionthink.core.geometry import Size, View, ViewRule, full_view, quarter_view
from visionthink.picture import cut, encode_stored_png

RULE: Final = ViewRule()


def size_name(size: Size) -> str:
    """As it is written."""
    return f"{size.width}x{size.height}"


def view_kind(view: View) -> str:
    """The name of a view's file."""
    return f"{view.size.width}x{view.size.height}.png"


def prepare(folder: Path, size: Size, number: int, with_full: bool) -> None:
    """Store a picture's JPEGs and views, as the URLs in which they travel."""
    last = scene.stored(folder, "done", size, number)
    if last.exists():
        return
    last.parent.mkdir(parents=True, exist_ok=True)
    image = scene.picture(size, number)
    photo = scene.jpeg(image)
    quarter, full = quarter_view(size, RULE), full_view(size, RULE)
    small = cut(image, quarter)
    found = {
        "photo": scene.data_url(photo),
        "small": scene.data_url(scene.jpeg(small)),
        view_kind(quarter): scene.data_url(encode_stored_png(small), "png"),
    }
    if with_full:
        found[view_kind(full)] = scene.data_url(encode_stored_png(cut(image, full)), "png")
    for kind, url in found.items():
        scene.stored(folder, kind, size, number).write_bytes(url.encode())
    last.touch()


def prepare_all(folder: Path, sizes: Sequence[Size], num_pictures: int, num_full: int, num_processes: int) -> float:
    """Store all pictures; return the seconds."""
    start_s = time.monotonic()
    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(prepare, folder, size, number, number < num_full)
            for size in sizes
            for number in range(num_pictures)
        ]
        for one in waiting:
            one.result()
    return time.monotonic() - start_s
