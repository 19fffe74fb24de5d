"""Samples of the picture world: seeded, endless, and in splits that cannot leak.

A scene's split follows from its own content, not from the order in which it was drawn. So two splits never share a
scene, whatever seeds and counts they were made with, and nobody can evaluate by accident on a scene trained on.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import Final, Literal, get_args

from visionthink.core.sample import Sample
from visionthink.datasets.world.family import Family, ask, pick_families
from visionthink.datasets.world.paint import paint, panel_box
from visionthink.datasets.world.scene import Scene, draw_scene
from visionthink.errors import ConfigError
from visionthink.picture import encode_png

Split = Literal["pretrain", "train", "validation", "test"]

_SHARES: Final[dict[str, range]] = {
    "pretrain": range(0, 60),
    "train": range(60, 80),
    "validation": range(80, 85),
    "test": range(85, 100),
}


def split_of(scene: Scene) -> Split:
    """The one split that the scene's content belongs to."""
    digest = hashlib.blake2b(scene.content_key().encode(), digest_size=8).digest()
    bucket = int.from_bytes(digest, "big") % 100
    return next(split for split in get_args(Split) if bucket in _SHARES[split])


def scenes(split: Split, rng: random.Random) -> Iterator[Scene]:
    """Endless scenes of one split."""
    while True:
        scene = draw_scene(rng)
        if split_of(scene) == split:
            yield scene


def generate(
    split: Split, count: int, *, seed: int, families: Sequence[str], needed_ratio: float = 0.5
) -> Iterator[Sample]:
    """`count` samples, of which a share of `needed_ratio` (rounded) needs the full view, in random order.

    The families of a side take turns, so each is asked about equally often. A side without a family gives its share
    to the other one.

    Raises:
        ConfigError: a family is unknown, or the share is not within 0 and 1.
    """
    if not 0 <= needed_ratio <= 1:
        raise ConfigError(f"needed_ratio is a share from 0 to 1, got {needed_ratio}")
    chosen = pick_families(families)
    rng = random.Random(f"{seed}/{split}/{','.join(family.name for family in chosen)}")
    stream = scenes(split, rng)
    for index, family in enumerate(_plan(chosen, count, needed_ratio, rng)):
        yield _sample(f"world-{seed}-{split}-{family.name}-{index:05d}", family, next(stream), split, rng)


def _plan(families: Sequence[Family], count: int, needed_ratio: float, rng: random.Random) -> list[Family]:
    needed = [family for family in families if family.needs_high_res]
    rest = [family for family in families if not family.needs_high_res]
    num_needed = count if not rest else 0 if not needed else round(count * needed_ratio)
    plan = [needed[index % len(needed)] for index in range(num_needed)]
    plan += [rest[index % len(rest)] for index in range(count - num_needed)]
    rng.shuffle(plan)
    return plan


def _sample(name: str, family: Family, scene: Scene, split: Split, rng: random.Random) -> Sample:
    return Sample(
        id=name,
        question=ask(family, rng),
        answer=family.answer(scene),
        family=family.name,
        needs_high_res=family.needs_high_res,
        source=f"world-{split}",
        picture=encode_png(paint(scene)),
        region=panel_box(scene, family.panel),
    )
