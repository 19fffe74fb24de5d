"""What a picture of the layout `scattered` holds: panels that stand anywhere, two tags among them.

The tags hold the same kinds of things and are told apart by their colors alone, so a question names the color. Places
are drawn on a grid of 28 pixels, which is that of the full view's tokens; half of them lie between those of the quarter
view, and no quarter of the picture holds a panel that reaches over its middle.
"""

import random
from dataclasses import asdict, dataclass
from typing import Final

from visionthink.core.closer_look import NEAR_REGIONS
from visionthink.core.geometry import TOKEN_SIDE, Box
from visionthink.datasets.world.glyph import DIGITS, LETTERS
from visionthink.datasets.world.panel import PANEL
from visionthink.datasets.world.scene import BARS, COLORS, MAX_DOTS, NUM_CLUTTER, SHAPES, key_of

SIDE: Final = 224
FIRST_TAG: Final = "first tag"
SECOND_TAG: Final = "second tag"
TAGS: Final = (FIRST_TAG, SECOND_TAG)
PANELS: Final = ("shape", "dots", "chart", *TAGS)
_OFFSETS: Final = range(0, SIDE - PANEL + 1, TOKEN_SIDE)
_THIRDS: Final = (0, 0, 1, 1, 1, 2, 2)
"""Of each offset: whether it stands first, in the middle or last. The window of that name holds the panel, and where an
offset lies on two windows' edges, so does the other one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A colored tag."""

    color: str
    """Of its backdrop."""
    code: str
    """Two digits."""
    suffix: str
    """The letter that follows them."""
    clutter: tuple[str, ...]
    framed: int
    """Index into `clutter` of the letter that stands in a frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatteredScene:
    """The content of one picture; `style_seed` only moves things about within their panels and tints them."""

    offsets: tuple[tuple[int, int], ...]
    """Left and top edge of each panel, in the order of `PANELS`."""
    color: str
    shape: str
    mark: str
    """The letter printed on the shape."""
    num_dots: int
    tallest: int
    """Index into `BARS`."""
    labels: tuple[str, ...]
    """The letter under each bar, all different."""
    tags: tuple[Tag, Tag]
    style_seed: int

    def place_of(self, panel: str) -> str:
        """The one name of the place that a panel stands in, out of `NEAR_REGIONS`."""
        left, top = self.offsets[PANELS.index(panel)]
        return NEAR_REGIONS[3 * _THIRDS[_OFFSETS.index(top)] + _THIRDS[_OFFSETS.index(left)]]

    def content_key(self) -> str:
        """The same for two scenes that differ only in style; decides the split, so no content is in two splits."""
        return key_of(asdict(self))


def panel_box(scene: ScatteredScene, panel: str) -> Box:
    """Where a panel stands in the picture."""
    left, top = scene.offsets[PANELS.index(panel)]
    return Box(left=left, top=top, right=left + PANEL, bottom=top + PANEL)


def draw_scene(rng: random.Random) -> ScatteredScene:
    """A scene whose attributes are uniform and independent of each other.

    But colors of tags differ, and a place depends on where other panels stand.
    """
    one, other = rng.sample(tuple(COLORS), 2)
    first, second = _draw_tag(one, rng), _draw_tag(other, rng)
    return ScatteredScene(
        offsets=_draw_offsets(rng),
        color=rng.choice(tuple(COLORS)),
        shape=rng.choice(SHAPES),
        mark=rng.choice(LETTERS),
        num_dots=rng.randint(1, MAX_DOTS),
        tallest=rng.randrange(len(BARS)),
        labels=tuple(rng.sample(LETTERS, len(BARS))),
        tags=(first, second),
        style_seed=rng.getrandbits(32),
    )


def _draw_tag(color: str, rng: random.Random) -> Tag:
    return Tag(
        color=color,
        code=rng.choice(DIGITS) + rng.choice(DIGITS),
        suffix=rng.choice(LETTERS),
        clutter=tuple(rng.sample(LETTERS, NUM_CLUTTER)),
        framed=rng.randrange(NUM_CLUTTER),
    )


def _draw_offsets(rng: random.Random) -> tuple[tuple[int, int], ...]:
    """A free place for one panel after the other: each takes nine of the 49 at most, so five always find one."""
    taken: list[tuple[int, int]] = []
    for _ in PANELS:
        free = [
            (left, top)
            for top in _OFFSETS
            for left in _OFFSETS
            if all(abs(left - x) >= PANEL or abs(top - y) >= PANEL for x, y in taken)
        ]
        taken.append(rng.choice(free))
    return tuple(taken)
