"""What a picture of the world holds, as plain values: the ground truth that no public data set has.

Every scene holds the answer to every family's question, so that only the question decides whether the full resolution
is needed. A model that looks at the picture alone cannot tell.
"""

import random
from dataclasses import asdict, dataclass
from typing import Final

from visionthink.datasets.world.glyph import DIGITS, LETTERS

COLORS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (214, 39, 40),
    "green": (44, 150, 60),
    "blue": (40, 90, 210),
    "yellow": (235, 205, 30),
    "purple": (140, 50, 180),
    "orange": (250, 130, 20),
}
SHAPES: Final = ("circle", "square", "triangle", "cross")
CORNERS: Final = ("top left", "top right", "bottom left", "bottom right")
BARS: Final = ("left", "middle", "right")
MAX_DOTS: Final = 4
PANELS: Final = ("shape", "dots", "text", "chart")
NUM_CLUTTER: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The content of one picture; `style_seed` only moves things about and tints them."""

    panels: tuple[str, ...]
    """Which panel stands in which corner, in the order of `CORNERS`."""
    color: str
    shape: str
    mark: str
    """The letter printed on the shape."""
    num_dots: int
    code: str
    """Two digits on the white tag."""
    suffix: str
    """The letter that follows them."""
    clutter: tuple[str, ...]
    framed: int
    """Index into `clutter` of the letter that stands in a frame."""
    tallest: int
    """Index into `BARS`."""
    labels: tuple[str, ...]
    """The letter under each bar, all different."""
    style_seed: int

    @property
    def corner(self) -> str:
        """The corner that the big shape stands in."""
        return self.corner_of("shape")

    def corner_of(self, panel: str) -> str:
        """The corner that a panel stands in."""
        return CORNERS[self.panels.index(panel)]

    def content_key(self) -> str:
        """The same for two scenes that differ only in style; decides the split, so no content is in two splits."""
        return key_of(asdict(self))


def key_of(content: dict[str, object]) -> str:
    """A text that two scenes share whose fields differ in style alone."""
    return repr(sorted((name, value) for name, value in content.items() if name != "style_seed"))


def draw_scene(rng: random.Random) -> Scene:
    """A scene whose every attribute is uniform and independent of the others."""
    return Scene(
        panels=tuple(rng.sample(PANELS, len(PANELS))),
        color=rng.choice(tuple(COLORS)),
        shape=rng.choice(SHAPES),
        mark=rng.choice(LETTERS),
        num_dots=rng.randint(1, MAX_DOTS),
        code=rng.choice(DIGITS) + rng.choice(DIGITS),
        suffix=rng.choice(LETTERS),
        clutter=tuple(rng.sample(LETTERS, NUM_CLUTTER)),
        framed=rng.randrange(NUM_CLUTTER),
        tallest=rng.randrange(len(BARS)),
        labels=tuple(rng.sample(LETTERS, len(BARS))),
        style_seed=rng.getrandbits(32),
    )
