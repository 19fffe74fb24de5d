"""A scene of the layout `scattered` to pixels: 224 x 224, panels of 56 x 56 anywhere.

A tag's backdrop is one color all over its panel, so that every token that shows some of a tag shows whose it is. The
ground grows redder to the right and bluer to the bottom: Qwen2.5-VL's vision tower knows of no place but where its
patches stand to each other, and a panel amid even ground looks the same wherever it stands.
"""

import random
from functools import cache
from typing import Final

from PIL import Image, ImageChops, ImageDraw

from visionthink.datasets.world.panel import PANEL, Origin, paint_chart, paint_dots, paint_shape, paint_tag
from visionthink.datasets.world.scattered_scene import PANELS, SIDE, ScatteredScene, Tag
from visionthink.datasets.world.scene import COLORS

_TINT: Final = (150, 165)
"""Of the ground at its darkest."""
_RISE: Final = 70
"""From one side of the picture to the other."""
_MARGIN: Final = 1
"""Pixels around a backdrop: two tags side by side do not touch."""


def paint(scene: ScatteredScene) -> Image.Image:
    """The scene as an RGB picture of 224 x 224 pixels; the same scene gives the same bytes."""
    rng = random.Random(scene.style_seed)
    picture = _ground(rng)
    pen = ImageDraw.Draw(picture)
    origins = dict(zip(PANELS, scene.offsets, strict=True))
    paint_shape(pen, origins["shape"], scene, rng)
    paint_dots(pen, origins["dots"], scene.num_dots, rng)
    paint_chart(pen, origins["chart"], scene, rng)
    for origin, tag in zip(scene.offsets[-len(scene.tags) :], scene.tags, strict=True):
        _paint_backed(pen, origin, tag, rng)
    return picture


def _ground(rng: random.Random) -> Image.Image:
    tint = tuple(rng.randint(*_TINT) for _ in range(3))
    return ImageChops.add(_slope(), Image.new("RGB", (SIDE, SIDE), tint))


@cache
def _slope() -> Image.Image:
    """How much redder, greener and bluer than at its darkest the ground is."""
    down = Image.linear_gradient("L").resize((SIDE, SIDE)).point([value * _RISE // 255 for value in range(256)])
    even = Image.new("L", (SIDE, SIDE), _RISE // 2)
    return Image.merge("RGB", (down.transpose(Image.Transpose.ROTATE_90), even, down))


def _paint_backed(pen: ImageDraw.ImageDraw, origin: Origin, tag: Tag, rng: random.Random) -> None:
    left, top = origin
    end = PANEL - 1 - _MARGIN
    pen.rectangle((left + _MARGIN, top + _MARGIN, left + end, top + end), fill=COLORS[tag.color])
    paint_tag(pen, origin, tag, rng)
