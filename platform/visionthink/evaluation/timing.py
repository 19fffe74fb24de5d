"""Measures how long one question takes, one question at a time.

Rule: the time of a batch says nothing about one request (it is the time of its slowest member, shared by a hundred),
so latency is measured apart, on a small fixed set of samples, each asked alone after one that is not counted. The set
holds the families in the shares in which the test set holds them, each at least once.
"""

from collections.abc import Callable, Sequence

from visionthink.core.sample import Sample
from visionthink.episodes.runner import Ask, EpisodeRunner
from visionthink.evaluation.latency import Latency


def choose_samples(samples: Sequence[Sample], count: int) -> list[int]:
    """Indices of about `count` samples that hold the families in the shares of `samples`, each at least once."""
    places: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        places.setdefault(sample.family, []).append(index)
    return sorted(
        index
        for found in places.values()
        for index in found[: max(1, round(count * len(found) / max(len(samples), 1)))]
    )


async def measure(
    runner: EpisodeRunner,
    samples: Sequence[Sample],
    ask: Ask,
    *,
    headline: Sequence[str],
    clock: Callable[[], float],
) -> Latency:
    """Ask about each sample alone; about the first one twice, of which the first time does not count.

    Raises:
        EngineError: one failed; a failure takes no time that means anything.
    """
    seconds: dict[str, list[float]] = {}
    for index, sample in enumerate([*samples[:1], *samples]):
        start_s = clock()
        await runner.episode(sample, ask)
        if index > 0:
            seconds.setdefault(sample.family, []).append(clock() - start_s)
    present = tuple(family for family in headline if family in seconds)
    return Latency(by_family={family: tuple(found) for family, found in seconds.items()}, headline=present)
