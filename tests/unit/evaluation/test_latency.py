import pytest
from tests.fakes.asked import runner_over
from tests.fakes.seeing import seeing_engine
from tests.fakes.stage_task import ticking

from visionthink.datasets.world import generate
from visionthink.engines import Sampling
from visionthink.episodes.runner import Ask
from visionthink.errors import DataError, EngineError
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.timing import choose_samples, measure

FAMILIES = ["color", "shape", "mark", "code"]


def test_choose_samples_keeps_the_shares_of_the_families() -> None:
    samples = list(generate("test", 60, seed=0, families=FAMILIES, needed_ratio=1 / 3))
    chosen = [samples[index].family for index in choose_samples(samples, 12)]
    assert {family: chosen.count(family) for family in FAMILIES} == {"color": 4, "shape": 4, "mark": 2, "code": 2}


def test_choose_samples_takes_each_family_at_least_once() -> None:
    samples = list(generate("test", 40, seed=0, families=FAMILIES))
    assert sorted(samples[index].family for index in choose_samples(samples, 1)) == sorted(FAMILIES)


def test_choose_samples_of_nothing_is_nothing() -> None:
    assert choose_samples([], 24) == []


async def test_measure_asks_one_question_at_a_time_and_does_not_count_the_first() -> None:
    samples = list(generate("test", 4, seed=0, families=["color"]))
    engine = seeing_engine(samples)
    latency = await measure(
        runner_over(engine),
        samples,
        Ask(policy="auto", sampling=Sampling(temperature=0.0)),
        headline=["color", "absent"],
        clock=ticking(0.5),
    )
    assert len(engine.requests) == 5
    assert latency == Latency(by_family={"color": (0.5, 0.5, 0.5, 0.5)}, headline=("color",))


async def test_a_request_that_fails_takes_no_time_that_means_anything() -> None:
    samples = list(generate("test", 2, seed=0, families=["color"]))
    engine = seeing_engine(samples, fails_on=[samples[1].id])
    with pytest.raises(EngineError, match=f"{samples[1].id}: out of order"):
        await measure(
            runner_over(engine),
            samples,
            Ask(policy="auto", sampling=Sampling(temperature=0.0)),
            headline=["color"],
            clock=ticking(),
        )


def test_latency_means_are_of_the_headline_families() -> None:
    latency = Latency(by_family={"a": (1.0, 3.0), "b": (9.0,)}, headline=("a",))
    assert latency.p95_s == pytest.approx(2.9)
    assert (latency.mean_s, latency.of_family("b")) == (2.0, 9.0)


def test_latency_survives_json() -> None:
    want = Latency(by_family={"a": (1.0, 3.0), "b": (9.0,)}, headline=("a",))
    assert Latency.from_dict(want.to_dict()) == want
    with pytest.raises(DataError, match="not a latency record"):
        Latency.from_dict([])
