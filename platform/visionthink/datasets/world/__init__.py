"""The picture world: a procedural data set that knows whether a question needs the full resolution."""

from visionthink.datasets.world.family import FAMILIES, HELD_OUT_FAMILIES, TRAINED_FAMILIES, Family, pick_families
from visionthink.datasets.world.generate import Split, generate, scenes, split_of
from visionthink.datasets.world.layout import GRID, LAYOUTS, SCATTERED, Layout, get_layout
from visionthink.datasets.world.paint import SIDE, paint
from visionthink.datasets.world.scene import Scene, draw_scene
from visionthink.datasets.world.topic import Topic

__all__ = [
    "FAMILIES",
    "GRID",
    "HELD_OUT_FAMILIES",
    "LAYOUTS",
    "SCATTERED",
    "SIDE",
    "TRAINED_FAMILIES",
    "Family",
    "Layout",
    "Scene",
    "Split",
    "Topic",
    "draw_scene",
    "generate",
    "get_layout",
    "paint",
    "pick_families",
    "scenes",
    "split_of",
]
