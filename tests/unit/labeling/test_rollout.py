"""What is asked of a sample to label it, and which label follows from what came of it."""

from collections.abc import Sequence

import pytest
from tests.fakes.asked import runner_over
from tests.fakes.seeing import seeing_engine

from visionthink.core.label import Label, LabelRule
from visionthink.core.sample import Sample
from visionthink.datasets.world import generate
from visionthink.engines import Engine, ScriptedEngine
from visionthink.episodes.runner import End, Lost, Work
from visionthink.judges import Grade, GradeItem, Judge
from visionthink.labeling import Labelled
from visionthink.labeling.rollout import LabelSetting, sample_number

SAMPLES = tuple(generate("train", 6, seed=0, families=["color", "mark"]))
SETTING = LabelSetting(rule=LabelRule(num_rollouts=3, min_gap=2), max_reply_tokens=40, seed=5)


class SulkingJudge:
    """Cannot tell about one question; half likes every other answer."""

    def __init__(self, question: str = "") -> None:
        self._question = question

    async def grade(self, item: GradeItem) -> Grade:
        if item.question == self._question:
            return Grade(correct=0.0, failed=True, error="two readings", retryable=False)
        return Grade(correct=0.5)

    async def aclose(self) -> None:
        pass


async def labelled(engine: Engine, samples: Sequence[Sample] = SAMPLES, judge: Judge | None = None) -> list[Labelled]:
    found: dict[str, Labelled] = {}

    def on_end(work: Work[int], end: End) -> None:
        found[work.sample.id] = SETTING.record(work.sample, end)

    work = [Work(key=index, sample=sample, asks=SETTING.asks(sample)) for index, sample in enumerate(samples)]
    assert not (await runner_over(engine, judge).run(work, on_end)).open
    return [found[sample.id] for sample in samples]


async def test_labels_of_a_model_that_sees_are_the_truth() -> None:
    records = await labelled(seeing_engine(SAMPLES))
    assert [record.needed for record in records] == [sample.needs_high_res for sample in SAMPLES]
    counts = {(record.num_correct_quarter, record.num_correct_full) for record in records}
    assert counts == {(3, 3), (0, 3)}


async def test_labels_keep_the_truth_of_the_samples() -> None:
    records = await labelled(seeing_engine(SAMPLES))
    want = [(sample.id, sample.family, sample.needs_high_res) for sample in SAMPLES]
    assert [(record.id, record.family, record.truth) for record in records] == want


async def test_sample_that_is_never_solved_is_discarded() -> None:
    records = await labelled(ScriptedEngine(lambda request: "<answer>no idea</answer>"))
    assert {record.label for record in records} == {Label.DISCARDED}


async def test_partial_credit_counts_for_what_it_is() -> None:
    (record, *_) = await labelled(seeing_engine(SAMPLES), judge=SulkingJudge())
    assert (record.num_correct_quarter, record.num_correct_full, record.label) == (1.5, 1.5, Label.DISCARDED)


def test_sample_that_could_not_be_had_gets_no_label() -> None:
    record = SETTING.record(SAMPLES[0], Lost(error="a content filter"))
    assert (record.label, record.error, record.needed) == (None, "a content filter", None)


async def test_sample_that_the_judge_cannot_tell_about_gets_no_label() -> None:
    records = await labelled(seeing_engine(SAMPLES), judge=SulkingJudge(SAMPLES[0].question))
    for sample, record in zip(SAMPLES, records, strict=True):
        is_unclear = sample.question == SAMPLES[0].question
        assert record.error == ("the judge cannot tell: two readings" if is_unclear else None)
        assert (record.label is None) is is_unclear


async def test_rollouts_of_a_sample_do_not_depend_on_its_neighbours() -> None:
    whole, part = seeing_engine(SAMPLES), seeing_engine(SAMPLES)
    await labelled(whole)
    await labelled(part, SAMPLES[3:])
    seeds = {request.sampling.seed for request in whole.requests}
    assert {request.sampling.seed for request in part.requests} < seeds
    assert len(seeds) == len(whole.requests) == 6 * 6


async def test_rollouts_are_drawn_at_temperature_one_and_share_a_session() -> None:
    engine = seeing_engine(SAMPLES)
    await labelled(engine)
    assert {request.sampling.temperature for request in engine.requests} == {1.0}
    assert {request.session for request in engine.requests} == {sample.id for sample in SAMPLES}


def test_sample_number_is_the_same_on_every_machine() -> None:
    assert sample_number("world-0-train-color-00000") == 104216562684455


@pytest.mark.parametrize("label", [Label.NEEDED, None])
def test_record_survives_json(label: Label | None) -> None:
    want = Labelled(
        id="a", family="b", num_correct_quarter=1.5, num_correct_full=3, label=label, truth=None, error=None
    )
    assert Labelled.from_dict(want.to_dict()) == want
