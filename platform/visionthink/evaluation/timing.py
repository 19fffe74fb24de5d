"""Measures how long one question takes, one question at a time.

Rule: the time of a batch says nothing about one request (it is the time of its slowest member, shared by a hundred),
so latency is measured apart, on a small fixed set of samples, each asked alone after one that is not counted. The set
holds the families in the shares in which the test set holds them, each at least once where there is room for that. A
request that failed took no time that says anything, and is no measurement.
"""

import heapq
import math
from collections.abc import Callable, Sequence

from visionthink.core.sample import Sample
from visionthink.episodes.runner import Ask, EpisodeRunner
from visionthink.errors import DataError, EngineError
from visionthink.evaluation.latency import Latency


def choose_samples(samples: Sequence[Sample], count: int) -> list[int]:
    """Indices of `count` samples, or of all where there are fewer, spread over the families as `samples` are."""
    places: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        places.setdefault(sample.family, []).append(index)
    return sorted(index for family, num in _seats(places, count).items() for index in places[family][:num])


def _seats(places: dict[str, list[int]], count: int) -> dict[str, int]:
    """How many of `count` samples each family gets (Sainte-Lague); the first round goes round where it can."""
    is_first_free = count >= len(places)
    heap = [
        (-math.inf if is_first_free else -float(len(found)), number, family)
        for number, (family, found) in enumerate(places.items())
    ]
    heapq.heapify(heap)
    seats: dict[str, int] = {}
    for _ in range(min(count, sum(map(len, places.values())))):
        _, number, family = heapq.heappop(heap)
        seats[family] = seats.get(family, 0) + 1
        if seats[family] < len(places[family]):
            heapq.heappush(heap, (-len(places[family]) / (2 * seats[family] + 1), number, family))
    return seats


async def measure(
    runner: EpisodeRunner,
    samples: Sequence[Sample],
    ask: Callable[[Sample], Ask],
    *,
    headline: Sequence[str],
    clock: Callable[[], float],
) -> Latency:
    """Ask about each sample alone; about the first one twice, of which the first time does not count.

    Raises:
        EngineError: none could be had.
    """
    seconds: dict[str, list[float]] = {}
    failure: EngineError | None = None
    for index, sample in enumerate([*samples[:1], *samples]):
        start_s = clock()
        try:
            await runner.episode(sample, ask(sample))
        except EngineError as error:
            failure = error
        except DataError as error:  # a bad picture that is skipped: its answer is lost as well
            failure = EngineError(str(error), retryable=False)
        else:
            took_s = clock() - start_s
            if index > 0:
                seconds.setdefault(sample.family, []).append(took_s)
    if failure is not None and not seconds:
        raise failure
    present = tuple(family for family in headline if family in seconds)
    return Latency(by_family={family: tuple(found) for family, found in seconds.items()}, headline=present)
