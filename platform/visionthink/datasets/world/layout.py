"""A layout of the picture world: how big its pictures are, what they hold, and what can be asked about them.

Rule: whoever makes pictures or lessons takes a layout and knows of no other difference. A new one is a record here.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from PIL import Image

from visionthink.config.data import WorldLayout
from visionthink.core.closer_look import NEAR_REGIONS, REGIONS
from visionthink.core.geometry import Box, Size
from visionthink.datasets.world import family, paint, scattered_family, scattered_paint, scattered_scene, scene
from visionthink.datasets.world.family import Family
from visionthink.datasets.world.topic import Topic
from visionthink.errors import ConfigError


class Content(Protocol):
    """What a picture holds."""

    def content_key(self) -> str:
        """The same for two scenes that differ only in style."""
        ...


S = TypeVar("S", bound=Content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout(Generic[S]):
    """How pictures of the world are made."""

    name: WorldLayout
    side: int
    """Pixels of a picture's side."""
    families: Mapping[str, Family[Any]]
    regions: tuple[str, ...]
    """The parts of a picture that can be looked at closer, which are what its places are called as well."""
    questions: tuple[str, ...]
    """Every wording of every family."""
    words: tuple[str, ...] = ()
    """What else is said of its pictures often enough that a tokenizer of its own should have it as few tokens."""
    draw: Callable[[random.Random], S]
    paint: Callable[[S], Image.Image]
    topics: Callable[[S], tuple[Topic, ...]]
    """All that the families ask about a scene."""
    places: Callable[[S], tuple[Topic, ...]]
    """Where each panel stands."""
    panel_box: Callable[[S, str], Box]

    @property
    def size(self) -> Size:
        """Of a picture."""
        return Size(width=self.side, height=self.side)


GRID: Final[Layout[scene.Scene]] = Layout(
    name="grid",
    side=paint.SIDE,
    families=family.FAMILIES,
    regions=REGIONS,
    questions=tuple(text for one in family.FAMILIES.values() for text in one.questions),
    draw=scene.draw_scene,
    paint=paint.paint,
    topics=family.topics,
    places=family.places,
    panel_box=paint.panel_box,
)
"""Four panels, each of which is a quarter of the picture."""
SCATTERED: Final[Layout[scattered_scene.ScatteredScene]] = Layout(
    name="scattered",
    side=scattered_scene.SIDE,
    families=scattered_family.FAMILIES,
    regions=NEAR_REGIONS,
    questions=scattered_family.QUESTIONS,
    words=scattered_family.WORDS,
    draw=scattered_scene.draw_scene,
    paint=scattered_paint.paint,
    topics=scattered_family.topics,
    places=scattered_family.places,
    panel_box=scattered_scene.panel_box,
)
"""Five panels anywhere, of which two are tags of different colors."""
LAYOUTS: Final[Mapping[str, Layout[Any]]] = {layout.name: layout for layout in (GRID, SCATTERED)}


def get_layout(name: str) -> Layout[Any]:
    """The layout of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in LAYOUTS:
        raise ConfigError(f"the world has no layout {name!r}; choose one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
