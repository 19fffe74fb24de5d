"""The picture world: a procedural data set that knows whether a question needs the full resolution."""

from visionthink.datasets.world.family import FAMILIES, HELD_OUT_FAMILIES, TRAINED_FAMILIES, Family, pick_families
from visionthink.datasets.world.generate import Split, generate, scenes, split_of
from visionthink.datasets.world.paint import SIDE, paint
from visionthink.datasets.world.scene import Scene, draw_scene

__all__ = [
    "FAMILIES",
    "HELD_OUT_FAMILIES",
    "SIDE",
    "TRAINED_FAMILIES",
    "Family",
    "Scene",
    "Split",
    "draw_scene",
    "generate",
    "paint",
    "pick_families",
    "scenes",
    "split_of",
]
