"""A scene of the layout `scattered` to pixels: 224 x 224, panels of 56 x 56 anywhere.

A tag's backdrop is one color all over its panel, so that every token that shows some of a tag shows whose it is.
"""

import random
from typing import Final

from PIL import Image, ImageDraw

from visionthink.datasets.world.paint import tinted
from visionthink.datasets.world.panel import PANEL, Origin, paint_chart, paint_dots, paint_shape, paint_tag
from visionthink.datasets.world.scattered_scene import PANELS, SIDE, ScatteredScene, Tag
from visionthink.datasets.world.scene import COLORS

_MARGIN: Final = 1
"""Pixels around a backdrop: two tags side by side do not touch."""


def paint(scene: ScatteredScene) -> Image.Image:
    """The scene as an RGB picture of 224 x 224 pixels; the same scene gives the same bytes."""
    rng = random.Random(scene.style_seed)
    picture, pen = tinted(SIDE, rng)
    origins = dict(zip(PANELS, scene.offsets, strict=True))
    paint_shape(pen, origins["shape"], scene, rng)
    paint_dots(pen, origins["dots"], scene.num_dots, rng)
    paint_chart(pen, origins["chart"], scene, rng)
    for origin, tag in zip(scene.offsets[-len(scene.tags) :], scene.tags, strict=True):
        _paint_backed(pen, origin, tag, rng)
    return picture


def _paint_backed(pen: ImageDraw.ImageDraw, origin: Origin, tag: Tag, rng: random.Random) -> None:
    left, top = origin
    end = PANEL - 1 - _MARGIN
    pen.rectangle((left + _MARGIN, top + _MARGIN, left + end, top + end), fill=COLORS[tag.color])
    paint_tag(pen, origin, tag, rng)
