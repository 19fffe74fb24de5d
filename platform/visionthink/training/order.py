"""Which prompts a training step asks about.

Rule: a function of the seed and the step's number alone, so that a training that was killed goes on with the very
prompts that it would have taken, and so that every backend trains on the same ones in the same order.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

from visionthink.errors import DataError

Item = TypeVar("Item")


def picked(
    step: int, needed: Sequence[Item], rest: Sequence[Item], *, num_prompts: int, needed_ratio: float, seed: int
) -> list[Item]:
    """The prompts of a step, counted from 0: the wanted share of each label, without repetition within an epoch.

    Raises:
        DataError: a label has no prompt though its share is above 0.
    """
    num_needed = round(num_prompts * needed_ratio)
    return [
        *_slice("needed", needed, step, num_needed, seed),
        *_slice("not needed", rest, step, num_prompts - num_needed, seed),
    ]


def in_turn(needed: Sequence[Item], rest: Sequence[Item]) -> list[Item]:
    """Both labels spread evenly over the whole, each in its own order, so that any stretch of it has its share."""
    places = [
        ((index + 0.5) / len(side), rank, index)
        for rank, side in enumerate((needed, rest))
        for index in range(len(side))
    ]
    sides = (needed, rest)
    return [sides[rank][index] for _, rank, index in sorted(places)]


def _slice(label: str, prompts: Sequence[Item], step: int, count: int, seed: int) -> list[Item]:
    """Positions step * count .. of an endless sequence of shuffled epochs, of which each is shuffled once a step."""
    if count and not prompts:
        raise DataError(
            f"no training sample is labelled {label!r}, but train.needed_ratio asks for {count} a step; "
            "label more samples or change the ratio"
        )
    if not count:
        return []
    places = [divmod(position, len(prompts)) for position in range(step * count, (step + 1) * count)]
    orders = {
        epoch: random.Random(f"{seed}/{label}/{epoch}").sample(range(len(prompts)), len(prompts))
        for epoch in range(places[0][0], places[-1][0] + 1)
    }
    return [prompts[orders[epoch][place]] for epoch, place in places]
