"""Measures how long one question takes, one question at a time.

Rule: the time of a batch says nothing about one request (it is the time of its slowest member, shared by a hundred),
so latency is measured apart, on a small fixed set of samples, each asked alone after one that is not counted. The set
holds the families in the shares in which the test set holds them, each at least once.
"""

import asyncio
from collections.abc import Callable, Sequence

from visionthink.core.sample import Sample
from visionthink.engines import Engine, Sampling
from visionthink.episodes.driver import run_episodes
from visionthink.episodes.prompting import Prompting, ViewPolicy
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.question import Question


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


def measure(
    engine: Engine,
    questions: Sequence[Question],
    *,
    policy: ViewPolicy,
    prompting: Prompting,
    sampling: Sampling,
    headline: Sequence[str],
    clock: Callable[[], float],
    runner: asyncio.Runner,
) -> Latency:
    """Ask each question alone; the first one twice, of which the first time does not count."""
    seconds: dict[str, list[float]] = {}
    for index, question in enumerate([*questions[:1], *questions]):
        start_s = clock()
        runner.run(run_episodes(engine, [question.episode(prompting, policy)], sampling))
        if index > 0:
            seconds.setdefault(question.sample.family, []).append(clock() - start_s)
    present = tuple(family for family in headline if family in seconds)
    return Latency(by_family={family: tuple(found) for family, found in seconds.items()}, headline=present)
