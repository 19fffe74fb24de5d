"""Samples of the picture world: seeded, endless, and in splits that cannot leak.

A scene's split follows from its own content, not from the order in which it was drawn. So two splits never share a
scene, whatever seeds and counts they were made with, and nobody can evaluate by accident on a scene trained on.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeVar, get_args

from visionthink.core.sample import Sample
from visionthink.datasets.world.family import Family, pick_families
from visionthink.datasets.world.layout import GRID, Content, Layout
from visionthink.errors import ConfigError
from visionthink.picture import encode_png

Split = Literal["pretrain", "train", "validation", "test"]
S = TypeVar("S", bound=Content)
T = TypeVar("T")

_SHARES: Final[dict[str, range]] = {
    "pretrain": range(0, 60),
    "train": range(60, 80),
    "validation": range(80, 85),
    "test": range(85, 100),
}


def split_of(scene: Content) -> Split:
    """The one split that the scene's content belongs to."""
    digest = hashlib.blake2b(scene.content_key().encode(), digest_size=8).digest()
    bucket = int.from_bytes(digest, "big") % 100
    return next(split for split in get_args(Split) if bucket in _SHARES[split])


def scenes(split: Split, rng: random.Random, layout: Layout[S]) -> Iterator[S]:
    """Endless scenes of one split."""
    while True:
        scene = layout.draw(rng)
        if split_of(scene) == split:
            yield scene


def generate(
    split: Split,
    count: int,
    *,
    seed: int,
    families: Sequence[str],
    needed_ratio: float = 0.5,
    layout: Layout[Any] = GRID,
) -> Iterator[Sample]:
    """`count` samples, of which a share of `needed_ratio` (rounded) needs the full view, in random order.

    The families of a side take turns, so each is asked about equally often. A side without a family gives its share
    to the other one.

    Raises:
        ConfigError: a family is unknown, or the share is not within 0 and 1.
    """
    if not 0 <= needed_ratio <= 1:
        raise ConfigError(f"needed_ratio is a share from 0 to 1, got {needed_ratio}")
    chosen = pick_families(families, layout.families)
    start = "" if layout.name == GRID.name else f"{layout.name}-"
    rng = random.Random(f"{start}{seed}/{split}/{','.join(family.name for family in chosen)}")
    stream = scenes(split, rng, layout)
    for index, family in enumerate(_plan(chosen, count, needed_ratio, rng)):
        scene = next(stream)
        topic = one_of([topic for topic in layout.topics(scene) if topic.family == family.name], rng)
        yield Sample(
            id=f"world-{start}{seed}-{split}-{family.name}-{index:05d}",
            question=topic.ask(rng),
            answer=topic.answer,
            family=topic.family,
            needs_high_res=topic.needs_high_res,
            source=f"world-{split}",
            picture=encode_png(layout.paint(scene)),
            region=topic.region,
        )


def one_of(choices: Sequence[T], rng: random.Random) -> T:
    """One of them at random; where there is but one, no random number is drawn."""
    return choices[0] if len(choices) == 1 else rng.choice(choices)


def _plan(families: Sequence[Family[Any]], count: int, needed_ratio: float, rng: random.Random) -> list[Family[Any]]:
    needed = [family for family in families if family.needs_high_res]
    rest = [family for family in families if not family.needs_high_res]
    num_needed = count if not rest else 0 if not needed else round(count * needed_ratio)
    plan = [needed[index % len(needed)] for index in range(num_needed)]
    plan += [rest[index % len(rest)] for index in range(count - num_needed)]
    rng.shuffle(plan)
    return plan
