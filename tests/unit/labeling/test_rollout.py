from collections.abc import Sequence

import pytest
from tests.fakes.seeing import seeing_engine

from visionthink.config import RunConfig
from visionthink.core.label import Label, LabelRule
from visionthink.core.sample import Sample
from visionthink.datasets.world import generate
from visionthink.engines import Engine, ScriptedEngine
from visionthink.episodes.prompting import prompting_of
from visionthink.errors import EngineError
from visionthink.judges import Grade, GradeItem, RuleJudge
from visionthink.judges.judge import Judge
from visionthink.labeling import Labelled, label_samples
from visionthink.labeling.rollout import LabelSetting, sample_number
from visionthink.picture import decode

SAMPLES = tuple(generate("train", 6, seed=0, families=["color", "mark"]))
SETTING = LabelSetting(
    prompting=prompting_of(RunConfig()), rule=LabelRule(num_rollouts=3, min_gap=2), max_reply_tokens=40, seed=5
)


class SulkingJudge:
    """Cannot tell about one question."""

    def __init__(self, question: str) -> None:
        self._question = question

    async def grade(self, item: GradeItem) -> Grade:
        return Grade(correct=1.0, failed=item.question == self._question)

    async def aclose(self) -> None:
        pass


async def labelled(engine: Engine, samples: Sequence[Sample] = SAMPLES, judge: Judge | None = None) -> list[Labelled]:
    pictures = [decode(sample.picture) for sample in samples]
    return await label_samples(samples, pictures, engine=engine, judge=judge or RuleJudge(), setting=SETTING)


async def test_labels_of_a_model_that_sees_are_the_truth() -> None:
    records = await labelled(seeing_engine(SAMPLES))
    assert [record.needed for record in records] == [sample.needs_high_res for sample in SAMPLES]
    counts = {(record.num_correct_quarter, record.num_correct_full) for record in records}
    assert counts == {(3, 3), (0, 3)}


async def test_labels_keep_the_order_and_the_truth_of_the_samples() -> None:
    records = await labelled(seeing_engine(SAMPLES))
    want = [(sample.id, sample.family, sample.needs_high_res) for sample in SAMPLES]
    assert [(record.id, record.family, record.truth) for record in records] == want


async def test_sample_that_is_never_solved_is_discarded() -> None:
    records = await labelled(ScriptedEngine(lambda request: "<answer>no idea</answer>"))
    assert {record.label for record in records} == {Label.DISCARDED}


async def test_sample_whose_engine_failed_gets_no_label() -> None:
    records = await labelled(seeing_engine(SAMPLES, fails_on=[SAMPLES[0].id]))
    assert records[0].label is None and records[0].error == "out of order"
    assert all(record.label is not None for record in records[1:])


async def test_sample_whose_judge_failed_gets_no_label() -> None:
    records = await labelled(seeing_engine(SAMPLES), judge=SulkingJudge(SAMPLES[0].question))
    assert records[0].label is None and records[0].error == "the judge failed"


async def test_engine_that_answers_nothing_at_all_is_an_error() -> None:
    with pytest.raises(EngineError, match="every rollout failed, the first with: out of order"):
        await labelled(seeing_engine(SAMPLES, fails_on=[sample.id for sample in SAMPLES]))


async def test_rollouts_of_a_sample_do_not_depend_on_its_neighbours() -> None:
    whole, part = seeing_engine(SAMPLES), seeing_engine(SAMPLES)
    await labelled(whole)
    await labelled(part, SAMPLES[3:])
    seeds = [request.sampling.seed for request in whole.requests]
    assert [request.sampling.seed for request in part.requests] == seeds[3 * 6 :]
    assert len(set(seeds)) == len(seeds) == 6 * 6


async def test_rollouts_are_drawn_at_temperature_one() -> None:
    engine = seeing_engine(SAMPLES)
    await labelled(engine)
    assert {request.sampling.temperature for request in engine.requests} == {1.0}


def test_sample_number_is_the_same_on_every_machine() -> None:
    assert sample_number("world-0-train-color-00000") == 104216562684455
