"""The panels that pictures of the world are made of, 56 x 56 pixels each: a shape, dots, a tag, a chart.

What a quarter-view family asks for is drawn with features of eight pixels and more; what a full-view family asks for
is drawn in glyphs with strokes of one pixel.
"""

import random
from typing import Final, Protocol

from PIL import ImageDraw

from visionthink.datasets.world import glyph
from visionthink.datasets.world.scene import COLORS

PANEL: Final = 56
"""Pixels of a panel's side."""
_INK: Final = (20, 20, 20)
_PAPER: Final = (255, 255, 255)

Origin = tuple[int, int]
"""Left and top edge of a panel."""


class ShapeLike(Protocol):
    """What is drawn as the big shape."""

    @property
    def color(self) -> str:
        """One of `COLORS`."""
        ...

    @property
    def shape(self) -> str:
        """One of `SHAPES`."""
        ...

    @property
    def mark(self) -> str:
        """The letter printed on it."""
        ...


class TagLike(Protocol):
    """What is printed on a tag."""

    @property
    def code(self) -> str:
        """Two digits."""
        ...

    @property
    def suffix(self) -> str:
        """The letter behind them."""
        ...

    @property
    def clutter(self) -> tuple[str, ...]:
        """Letters below."""
        ...

    @property
    def framed(self) -> int:
        """Which of them stands in a frame."""
        ...


class ChartLike(Protocol):
    """What is drawn as a chart."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The letter under each bar."""
        ...

    @property
    def tallest(self) -> int:
        """The bar that towers above the others."""
        ...


def _write(pen: ImageDraw.ImageDraw, text: str, left: int, top: int) -> None:
    for index, character in enumerate(text):
        offset = left + index * (glyph.WIDTH + 1)
        pen.point([(offset + x, top + y) for x, y in glyph.pixels(character)], fill=_INK)


def _card(pen: ImageDraw.ImageDraw, text: str, left: int, top: int) -> None:
    width = len(text) * (glyph.WIDTH + 1) + 3
    pen.rectangle((left, top, left + width - 1, top + glyph.HEIGHT + 3), fill=_PAPER)
    _write(pen, text, left + 2, top + 2)


def paint_shape(pen: ImageDraw.ImageDraw, origin: Origin, what: ShapeLike, rng: random.Random) -> None:
    """A large shape, its letter on it."""
    radius = rng.randint(18, 22)
    x, y = origin[0] + 28 + rng.randint(-1, 1), origin[1] + 28 + rng.randint(-1, 1)
    fill, arm = COLORS[what.color], radius // 3
    match what.shape:
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
    _card(pen, what.mark, x + 3, y + 3)


def paint_dots(pen: ImageDraw.ImageDraw, origin: Origin, num_dots: int, rng: random.Random) -> None:
    """Dots in some of four places."""
    for place in rng.sample(range(4), num_dots):
        x = origin[0] + 15 + 26 * (place % 2) + rng.randint(-3, 3)
        y = origin[1] + 15 + 26 * (place // 2) + rng.randint(-3, 3)
        pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=_INK)


def paint_tag(pen: ImageDraw.ImageDraw, origin: Origin, what: TagLike, rng: random.Random) -> None:
    """Digits with a letter behind them, and below letters of which one stands in a frame."""
    left, top = origin[0] + 28 * rng.randint(0, 1) + rng.randint(0, 1), origin[1] + 3 + rng.randint(0, 2)
    _card(pen, what.code + what.suffix, left, top)
    first, row = origin[0] + 3 + 14 * rng.randint(0, 1), origin[1] + 30 + rng.randint(0, 2)
    for index, letter in enumerate(what.clutter):
        column = first + 14 * index + rng.randint(0, 2)
        _card(pen, letter, column, row)
        if index == what.framed:
            pen.rectangle((column - 2, row - 2, column + 8, row + 10), outline=_INK, width=1)


def paint_chart(pen: ImageDraw.ImageDraw, origin: Origin, what: ChartLike, rng: random.Random) -> None:
    """Bars with a letter under each."""
    left, floor = origin[0] + 2 + 14 * rng.randint(0, 1) + rng.randint(0, 2), origin[1] + 43 + rng.randint(0, 2)
    top_height = rng.randint(28, 36)
    for index, letter in enumerate(what.labels):
        height = top_height if index == what.tallest else rng.randint(8, top_height - 10)
        column = left + 14 * index
        pen.rectangle((column, floor - height, column + 9, floor), fill=(70, 80, 100))
        _card(pen, letter, column + 1, floor + 2)
