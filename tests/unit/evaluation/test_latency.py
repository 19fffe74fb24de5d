from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from tests.fakes.asked import runner_over
from tests.fakes.seeing import seeing_engine
from tests.fakes.stage_task import ticking
from tests.unit.evaluation.answers import TRAINED

from visionthink.core.sample import Sample
from visionthink.datasets.world import generate
from visionthink.engines import Engine
from visionthink.errors import DataError, EngineError
from visionthink.evaluation.asking import ask_of
from visionthink.evaluation.benchmarks.samples import PICTURE_WORLD
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.timing import choose_samples, measure

FAMILIES = ["color", "shape", "mark", "code"]


def test_choose_samples_keeps_the_shares_of_the_families() -> None:
    samples = list(generate("test", 60, seed=0, families=FAMILIES, needed_ratio=1 / 3))
    chosen = [samples[index].family for index in choose_samples(samples, 12)]
    assert {family: chosen.count(family) for family in FAMILIES} == {"color": 4, "shape": 4, "mark": 2, "code": 2}


def test_choose_samples_takes_each_family_where_there_is_room() -> None:
    samples = [*generate("test", 40, seed=0, families=["color"]), *generate("test", 3, seed=0, families=FAMILIES[1:])]
    assert sorted(samples[index].family for index in choose_samples(samples, 4)) == sorted(FAMILIES)


def test_choose_samples_never_takes_more_than_it_may() -> None:
    """B10: 5,000 families are no 5,000 questions."""
    one = next(iter(generate("test", 1, seed=0, families=["color"])))
    samples = [replace(one, id=str(n), family=f"family {n % 5000}") for n in range(10_001)]
    chosen = choose_samples(samples, 24)
    assert len(chosen) == 24
    assert samples[chosen[0]].family == "family 0", "the largest family"
    assert len({samples[index].family for index in chosen}) == 24


@pytest.mark.parametrize(("size", "count", "want"), [(3, 24, 3), (3, 0, 0), (40, 39, 39)])
def test_choose_samples_takes_what_there_is(size: int, count: int, want: int) -> None:
    samples = list(generate("test", size, seed=0, families=FAMILIES))
    chosen = choose_samples(samples, count)
    assert len(chosen) == len(set(chosen)) == want


def test_choose_samples_of_nothing_is_nothing() -> None:
    assert choose_samples([], 24) == []


async def timed(engine: Engine, samples: Sequence[Sample]) -> Latency:
    return await measure(
        runner_over(engine),
        samples,
        partial(ask_of, TRAINED, PICTURE_WORLD),
        headline=["color", "absent"],
        clock=ticking(0.5),
    )


async def test_measure_asks_one_question_at_a_time_and_does_not_count_the_first() -> None:
    samples = list(generate("test", 4, seed=0, families=["color"]))
    engine = seeing_engine(samples)
    want = Latency(by_family={"color": (0.5, 0.5, 0.5, 0.5)}, headline=("color",))
    assert await timed(engine, samples) == want
    assert len(engine.requests) == 5
    assert {request.sampling.temperature for request in engine.requests} == {0.0}


async def test_measure_takes_no_latency_from_a_request_that_failed() -> None:
    """B28: a refused connection takes a tenth of a millisecond."""
    samples = list(generate("test", 4, seed=0, families=["color"]))
    latency = await timed(seeing_engine(samples, fails_on=[samples[1].id]), samples)
    assert latency.by_family == {"color": (0.5, 0.5, 0.5)}


async def test_measure_of_nothing_but_failures_is_none() -> None:
    samples = list(generate("test", 2, seed=0, families=["color"]))
    with pytest.raises(EngineError, match=f"{samples[1].id}: out of order"):
        await timed(seeing_engine(samples, fails_on=[sample.id for sample in samples]), samples)


def test_latency_of_nothing_is_none() -> None:
    latency = Latency(by_family={}, headline=())
    assert (latency.mean_s, latency.p50_s, latency.p95_s, latency.of_family("color")) == (None, None, None, None)


def test_latency_means_are_of_the_headline_families() -> None:
    latency = Latency(by_family={"a": (1.0, 3.0), "b": (9.0,)}, headline=("a",))
    assert latency.p50_s == 2.0
    assert latency.p95_s == pytest.approx(2.9)
    assert (latency.mean_s, latency.of_family("b")) == (2.0, 9.0)


def test_latency_survives_json() -> None:
    want = Latency(by_family={"a": (1.0, 3.0), "b": (9.0,)}, headline=("a",))
    assert Latency.from_dict(want.to_dict()) == want
    with pytest.raises(DataError, match="not a latency record"):
        Latency.from_dict([])
