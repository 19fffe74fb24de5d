"""Scene to pixels: 112 x 112, four panels of 56 x 56, each of them one visual token of the 56 x 56 quarter view."""

import random
from typing import Final

from PIL import Image, ImageDraw

from visionthink.core.geometry import Box
from visionthink.datasets.world.panel import PANEL, Origin, paint_chart, paint_dots, paint_shape, paint_tag
from visionthink.datasets.world.scene import Scene

SIDE: Final = 2 * PANEL


def paint(scene: Scene) -> Image.Image:
    """The scene as an RGB picture of 112 x 112 pixels; the same scene gives the same bytes."""
    rng = random.Random(scene.style_seed)
    tint = tuple(rng.randint(175, 225) for _ in range(3))
    picture = Image.new("RGB", (SIDE, SIDE), tint)
    pen = ImageDraw.Draw(picture)
    for panel in scene.panels:
        _paint_panel(pen, panel, scene, rng)
    return picture


def panel_box(scene: Scene, panel: str) -> Box:
    """Where a panel stands in the picture."""
    left, top = _origin(scene, panel)
    return Box(left=left, top=top, right=left + PANEL, bottom=top + PANEL)


def _origin(scene: Scene, panel: str) -> Origin:
    row, column = divmod(scene.panels.index(panel), 2)
    return PANEL * column, PANEL * row


def _paint_panel(pen: ImageDraw.ImageDraw, panel: str, scene: Scene, rng: random.Random) -> None:
    origin = _origin(scene, panel)
    match panel:
        case "shape":
            paint_shape(pen, origin, scene, rng)
        case "dots":
            paint_dots(pen, origin, scene.num_dots, rng)
        case "text":
            paint_tag(pen, origin, scene, rng)
        case _:
            paint_chart(pen, origin, scene, rng)
