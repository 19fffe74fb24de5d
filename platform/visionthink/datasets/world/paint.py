"""Scene to pixels: 112 x 112, four panels of 56 x 56, each of them one visual token of the 56 x 56 quarter view.

What a quarter-view family asks for is drawn with features of eight pixels and more; what a full-view family asks for
is drawn in glyphs with strokes of one pixel.
"""

import random
from collections.abc import Callable
from typing import Final

from PIL import Image, ImageDraw

from visionthink.core.geometry import Box
from visionthink.datasets.world import glyph
from visionthink.datasets.world.scene import COLORS, Scene

SIDE: Final = 112
_PANEL: Final = 56
_INK: Final = (20, 20, 20)
_PAPER: Final = (255, 255, 255)

_Origin = tuple[int, int]


def paint(scene: Scene) -> Image.Image:
    """The scene as an RGB picture of 112 x 112 pixels; the same scene gives the same bytes."""
    rng = random.Random(scene.style_seed)
    tint = tuple(rng.randint(175, 225) for _ in range(3))
    picture = Image.new("RGB", (SIDE, SIDE), tint)
    pen = ImageDraw.Draw(picture)
    for corner, panel in enumerate(scene.panels):
        origin = (_PANEL * (corner % 2), _PANEL * (corner // 2))
        _PAINTERS[panel](pen, origin, scene, rng)
    return picture


def panel_box(scene: Scene, panel: str) -> Box:
    """Where a panel stands in the picture."""
    corner = scene.panels.index(panel)
    left, top = _PANEL * (corner % 2), _PANEL * (corner // 2)
    return Box(left=left, top=top, right=left + _PANEL, bottom=top + _PANEL)


def _write(pen: ImageDraw.ImageDraw, text: str, left: int, top: int) -> None:
    for index, character in enumerate(text):
        offset = left + index * (glyph.WIDTH + 1)
        pen.point([(offset + x, top + y) for x, y in glyph.pixels(character)], fill=_INK)


def _card(pen: ImageDraw.ImageDraw, text: str, left: int, top: int) -> None:
    width = len(text) * (glyph.WIDTH + 1) + 3
    pen.rectangle((left, top, left + width - 1, top + glyph.HEIGHT + 3), fill=_PAPER)
    _write(pen, text, left + 2, top + 2)


def _shape(pen: ImageDraw.ImageDraw, origin: _Origin, scene: Scene, rng: random.Random) -> None:
    radius = rng.randint(18, 22)
    x, y = origin[0] + 28 + rng.randint(-1, 1), origin[1] + 28 + rng.randint(-1, 1)
    fill, arm = COLORS[scene.color], radius // 3
    match scene.shape:
        case "circle":
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        case "square":
            side = radius * 7 // 8
            pen.rectangle((x - side, y - side, x + side, y + side), fill=fill)
        case "triangle":
            pen.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=fill)
        case _:
            pen.rectangle((x - radius, y - arm, x + radius, y + arm), fill=fill)
            pen.rectangle((x - arm, y - radius, x + arm, y + radius), fill=fill)
    _card(pen, scene.mark, x + 3, y + 3)


def _dots(pen: ImageDraw.ImageDraw, origin: _Origin, scene: Scene, rng: random.Random) -> None:
    for place in rng.sample(range(4), scene.num_dots):
        x = origin[0] + 15 + 26 * (place % 2) + rng.randint(-3, 3)
        y = origin[1] + 15 + 26 * (place // 2) + rng.randint(-3, 3)
        pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=_INK)


def _text(pen: ImageDraw.ImageDraw, origin: _Origin, scene: Scene, rng: random.Random) -> None:
    left, top = origin[0] + 28 * rng.randint(0, 1) + rng.randint(0, 1), origin[1] + 3 + rng.randint(0, 2)
    _card(pen, scene.code + scene.suffix, left, top)
    first, row = origin[0] + 3 + 14 * rng.randint(0, 1), origin[1] + 30 + rng.randint(0, 2)
    for index, letter in enumerate(scene.clutter):
        column = first + 14 * index + rng.randint(0, 2)
        _card(pen, letter, column, row)
        if index == scene.framed:
            pen.rectangle((column - 2, row - 2, column + 8, row + 10), outline=_INK, width=1)


def _chart(pen: ImageDraw.ImageDraw, origin: _Origin, scene: Scene, rng: random.Random) -> None:
    left, floor = origin[0] + 2 + 14 * rng.randint(0, 1) + rng.randint(0, 2), origin[1] + 43 + rng.randint(0, 2)
    top_height = rng.randint(28, 36)
    for index, letter in enumerate(scene.labels):
        height = top_height if index == scene.tallest else rng.randint(8, top_height - 10)
        column = left + 14 * index
        pen.rectangle((column, floor - height, column + 9, floor), fill=(70, 80, 100))
        _card(pen, letter, column + 1, floor + 2)


_PAINTERS: Final[dict[str, Callable[[ImageDraw.ImageDraw, _Origin, Scene, random.Random], None]]] = {
    "shape": _shape,
    "dots": _dots,
    "text": _text,
    "chart": _chart,
}
