"""What a scene's picture shows, attribute by attribute: the targets of the first phase of pretraining.

What both tags of the layout `scattered` have is one kind of attribute, and is asked for by the tag's color.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from visionthink.core.closer_look import NEAR_REGIONS
from visionthink.datasets.world.glyph import DIGITS, LETTERS
from visionthink.datasets.world.scattered_scene import TAGS, ScatteredScene, Tag
from visionthink.datasets.world.scene import BARS, COLORS, CORNERS, MAX_DOTS, SHAPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One thing that can be read off a picture."""

    name: str
    num_classes: int
    read: Callable[[Any], int]
    """The scene's class, from 0."""
    panel: str | None
    """The panel that shows it; None for where a panel stands, of a picture whose panels each have neighbors to tell."""
    is_fine: bool
    """Whether only the full view shows it."""
    hue: Callable[[Any], int] | None = None
    """Number in `COLORS` of the tag that is meant, of an attribute that each tag has; attributes of one name share
    what is learned."""
    is_place: bool = False
    """Whether it is where the panel stands, so that only a view of the whole shows it."""


def _coarse(name: str, num_classes: int, panel: str | None, read: Callable[[Any], int]) -> Attribute:
    return Attribute(name=name, num_classes=num_classes, read=read, panel=panel, is_fine=False)


def _letter(name: str, panel: str, pick: Callable[[Any], str], letters: str = LETTERS) -> Attribute:
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


def _near(name: str, panel: str) -> Attribute:
    def read(scene: ScatteredScene) -> int:
        return NEAR_REGIONS.index(scene.place_of(panel))

    return replace(_coarse(name, len(NEAR_REGIONS), panel, read), is_place=True)


def _of_tag(number: int) -> tuple[Attribute, ...]:
    """What one of the tags holds, the place first."""
    panel = TAGS[number]

    def hue(scene: ScatteredScene) -> int:
        return tuple(COLORS).index(scene.tags[number].color)

    def letter(name: str, pick: Callable[[Tag], str], letters: str = LETTERS) -> Attribute:
        return _letter(name, panel, lambda scene: pick(scene.tags[number]), letters)

    found = (
        _near("tag_place", panel),
        letter("code_first", lambda tag: tag.code[0], DIGITS),
        letter("code_second", lambda tag: tag.code[1], DIGITS),
        letter("suffix", lambda tag: tag.suffix),
        letter("framed", lambda tag: tag.clutter[tag.framed]),
    )
    return tuple(replace(attribute, hue=hue) for attribute in found)


_TAGGED: Final = (*_of_tag(0), *_of_tag(1))
_PLAIN: Final = {attribute.name: attribute for attribute in ATTRIBUTES}
SCATTERED_ATTRIBUTES: Final = (
    *(_PLAIN[name] for name in ("color", "shape", "count", "tallest")),
    *(_near(f"{panel}_place", panel) for panel in ("shape", "dots", "chart")),
    *(attribute for attribute in _TAGGED if not attribute.is_fine),
    *(attribute for attribute in _TAGGED if attribute.is_fine),
    _PLAIN["mark"],
    _PLAIN["axis"],
)
"""Of the layout `scattered`, with where every panel stands."""
