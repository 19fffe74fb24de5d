"""Rollouts on each region alone: what is asked, what is kept, and what follows from it."""

import pytest

from visionthink.config import ViewConfig
from visionthink.core.closer_look import REGIONS
from visionthink.core.episode import Finish
from visionthink.core.geometry import Size
from visionthink.core.sample import Sample
from visionthink.core.trace import Outcome, Trace
from visionthink.datasets.world import SIDE, generate
from visionthink.episodes.runner import Done, GradedEpisode, Lost
from visionthink.errors import DataError
from visionthink.judges import Grade
from visionthink.labeling.region import RegionLabelled, RegionSetting, region_metrics

SETTING = RegionSetting(num_rollouts=2, max_reply_tokens=40, seed=3, rule=ViewConfig().rule(), regions=REGIONS)
(SAMPLE,) = generate("train", 1, seed=0, families=["mark"])
SIZE = Size(width=SIDE, height=SIDE)


def graded(*correct: float, failed: bool = False) -> Done:
    finish = Finish(outcome=Outcome.ANSWERED, answer="A", trace=Trace(turns=(), views=(), messages=()))
    grade = {"failed": True, "error": "two readings", "retryable": False} if failed else {}
    return Done(
        size=SIZE,
        episodes=tuple(GradedEpisode(finish=finish, grade=Grade(correct=one, **grade)) for one in correct),  # type: ignore[arg-type]
    )


def solved_in(sample: Sample, region: str) -> RegionLabelled:
    return SETTING.record(sample, graded(*(float(name == region) for name in REGIONS for _ in range(2))))


def test_every_region_is_asked_alone_and_no_two_rollouts_draw_alike() -> None:
    asks = SETTING.asks(SAMPLE)
    assert [ask.region for ask in asks] == [region for region in REGIONS for _ in range(2)]
    assert len({ask.sampling.seed for ask in asks}) == len(asks)
    assert SETTING.asks(SAMPLE) == asks


def test_the_region_that_suffices_is_held_against_the_truth() -> None:
    found = {region: solved_in(SAMPLE, region) for region in REGIONS}
    assert [record.region for record in found.values()] == list(REGIONS)
    (right,) = [region for region, record in found.items() if record.is_right]
    box = SETTING.box(right, SIZE)
    assert box == SAMPLE.region


def test_nothing_follows_where_several_regions_suffice() -> None:
    record = SETTING.record(SAMPLE, graded(*[1.0] * 8))
    assert (record.num_correct, record.region, record.is_right) == ((2.0,) * 4, None, None)


@pytest.mark.parametrize("end", [Lost(error="gone"), graded(*[1.0] * 8, failed=True)], ids=["lost", "not graded"])
def test_what_could_not_be_had_is_kept_with_the_reason(end: Lost | Done) -> None:
    record = SETTING.record(SAMPLE, end)
    assert record.error is not None and record.num_correct == () and record.region is None


def test_records_survive_json() -> None:
    for record in (solved_in(SAMPLE, REGIONS[0]), SETTING.record(SAMPLE, Lost(error="gone"))):
        assert RegionLabelled.from_dict(record.to_dict()) == record
    with pytest.raises(DataError, match="not a record of regions"):
        RegionLabelled.from_dict({"id": "a"})


def test_figures_count_regions_and_their_agreement() -> None:
    records = [solved_in(SAMPLE, region) for region in REGIONS]
    assert region_metrics(records) == {"label/num_region": 4.0, "label/region_agreement_ratio": 0.25}
    assert region_metrics([SETTING.record(SAMPLE, Lost(error="gone"))]) == {"label/num_region": 0.0}
