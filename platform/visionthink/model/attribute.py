"""What a scene's picture shows, attribute by attribute: the targets of the first phase of pretraining."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from visionthink.datasets.world.glyph import DIGITS, LETTERS
from visionthink.datasets.world.scene import BARS, COLORS, CORNERS, MAX_DOTS, SHAPES, Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One thing that can be read off a picture."""

    name: str
    num_classes: int
    read: Callable[[Scene], int]
    """The scene's class, from 0."""
    panel: str | None
    """The panel that shows it; None for where a panel stands, which no single one tells."""
    is_fine: bool
    """Whether only the full view shows it."""


def _coarse(name: str, num_classes: int, panel: str | None, read: Callable[[Scene], int]) -> Attribute:
    return Attribute(name=name, num_classes=num_classes, read=read, panel=panel, is_fine=False)


def _letter(name: str, panel: str, pick: Callable[[Scene], str], letters: str = LETTERS) -> Attribute:
    return Attribute(
        name=name, num_classes=len(letters), read=lambda scene: letters.index(pick(scene)), panel=panel, is_fine=True
    )


def _place(name: str, panel: str) -> Attribute:
    return _coarse(name, len(CORNERS), None, lambda scene: CORNERS.index(scene.corner_of(panel)))


ATTRIBUTES: Final = (
    _coarse("color", len(COLORS), "shape", lambda scene: tuple(COLORS).index(scene.color)),
    _coarse("shape", len(SHAPES), "shape", lambda scene: SHAPES.index(scene.shape)),
    _coarse("count", MAX_DOTS, "dots", lambda scene: scene.num_dots - 1),
    _coarse("tallest", len(BARS), "chart", lambda scene: scene.tallest),
    _coarse("corner", len(CORNERS), None, lambda scene: CORNERS.index(scene.corner)),
    _letter("code_first", "text", lambda scene: scene.code[0], DIGITS),
    _letter("code_second", "text", lambda scene: scene.code[1], DIGITS),
    _letter("suffix", "text", lambda scene: scene.suffix),
    _letter("mark", "shape", lambda scene: scene.mark),
    _letter("framed", "text", lambda scene: scene.clutter[scene.framed]),
    _letter("axis", "chart", lambda scene: scene.labels[scene.tallest]),
)
COARSE: Final = tuple(attribute for attribute in ATTRIBUTES if not attribute.is_fine)
FINE: Final = tuple(attribute for attribute in ATTRIBUTES if attribute.is_fine)
PLACED_ATTRIBUTES: Final = (
    *COARSE,
    _place("dots_corner", "dots"),
    _place("tag_corner", "text"),
    _place("chart_corner", "chart"),
    *FINE,
)
"""With where every panel stands, for a model that is to say where to look."""
