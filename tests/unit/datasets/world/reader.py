"""Readers that know nothing of our model: nearest neighbours and least squares, on pixels.

They have advantages that a model lacks: they are told where to look, and each view has a reader of its own, trained on
that view alone.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visionthink.config import ViewConfig
from visionthink.core.geometry import Size, View, full_view, quarter_view
from visionthink.datasets.world import SIDE, Scene, draw_scene, paint
from visionthink.picture import cut

Pixels: TypeAlias = NDArray[np.float64]
Classes: TypeAlias = NDArray[np.int64]

_RULE = ViewConfig().rule()
FULL: View = full_view(Size(width=SIDE, height=SIDE), _RULE)
QUARTER: View = quarter_view(Size(width=SIDE, height=SIDE), _RULE)
_MARGIN = 4
"""Pixels of the full view around a glyph: its card, and what resampling spreads over the edge."""


class Print(NamedTuple):
    """One place of the picture where a glyph is printed."""

    read: Callable[[Scene], str]
    write: Callable[[Scene, str], Scene]


def _put(letters: tuple[str, ...], place: int, letter: str) -> tuple[str, ...]:
    return (*letters[:place], letter, *letters[place + 1 :])


PRINTS = {
    "code_first": Print(lambda scene: scene.code[0], lambda scene, new: replace(scene, code=new + scene.code[1])),
    "code_second": Print(lambda scene: scene.code[1], lambda scene, new: replace(scene, code=scene.code[0] + new)),
    "suffix": Print(lambda scene: scene.suffix, lambda scene, new: replace(scene, suffix=new)),
    "mark": Print(lambda scene: scene.mark, lambda scene, new: replace(scene, mark=new)),
    "framed": Print(
        lambda scene: scene.clutter[scene.framed],
        lambda scene, new: replace(scene, clutter=_put(scene.clutter, scene.framed, new)),
    ),
    "axis": Print(
        lambda scene: scene.labels[scene.tallest],
        lambda scene, new: replace(scene, labels=_put(scene.labels, scene.tallest, new)),
    ),
}


def drawn(count: int, seed: int) -> list[Scene]:
    rng = random.Random(seed)
    return [draw_scene(rng) for _ in range(count)]


def pixels(picture: Image.Image, view: View) -> Pixels:
    """[height, width, 3] of a view, in 0..1."""
    return np.asarray(cut(picture, view), dtype=np.float64) / 255


def panel(picture: Pixels, scene: Scene, name: str) -> Pixels:
    """The quarter of a view that holds a panel."""
    side = picture.shape[0] // 2
    top, left = (side * part for part in divmod(scene.panels.index(name), 2))
    return picture[top : top + side, left : left + side]


def glyph_box(scene: Scene, place: Print) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a glyph, found by printing others in its stead."""
    pair = ("1", "4") if place.read(scene).isdigit() else ("U", "T")  # together they ink every edge of a glyph's box
    one, other = (np.asarray(paint(place.write(scene, letter)), dtype=np.int64) for letter in pair)
    rows, columns = np.nonzero((one != other).any(-1))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def crop(picture: Pixels, box: tuple[int, int, int, int]) -> Pixels:
    """A view's pixels around a box of the full view; as many for every place of a box of one size."""
    scale = SIDE // picture.shape[0]
    margin = _MARGIN // scale
    left, top = box[0] // scale, box[1] // scale
    width, height = -(-(box[2] - box[0]) // scale) + scale - 1, -(-(box[3] - box[1]) // scale) + scale - 1
    around = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    return around[top : top + height + 2 * margin, left : left + width + 2 * margin]


def classes(answers: Sequence[str]) -> Classes:
    known = sorted(set(answers))
    return np.array([known.index(answer) for answer in answers])


def nearest_accuracy(features: Pixels, truth: Classes, num_train: int) -> float:
    """Share that the nearest of the first `num_train` rows names right, of the others."""
    known, asked = features[:num_train], features[num_train:]
    distances = (known**2).sum(1) - 2 * asked @ known.T
    return float((truth[distances.argmin(1)] == truth[num_train:]).mean())


def linear_accuracy(features: Pixels, truth: Classes, num_train: int, *, ridge: float = 0.1) -> float:
    """Share that the least-squares classifier of the first `num_train` rows names right, of the others."""
    centred = features - features[:num_train].mean(0)
    targets = np.eye(truth.max() + 1)[truth]
    mean = targets[:num_train].mean(0)
    known = centred[:num_train]
    weights = np.linalg.solve(known.T @ known + ridge * np.eye(known.shape[1]), known.T @ (targets[:num_train] - mean))
    return float(((centred[num_train:] @ weights + mean).argmax(1) == truth[num_train:]).mean())
