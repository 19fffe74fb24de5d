import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image
from tests.fakes.seeing import seeing_engine
from tests.fakes.stage_task import TaskMaker, task_maker
from tests.fakes.stern_judge import SternJudge
from tests.unit.evaluation.answers import TRAINED as TRAINED_ONE
from tests.unit.evaluation.answers import answer
from tests.unit.evaluation.test_example import done, finished

from visionthink.config import RunConfig, ViewConfig
from visionthink.core.episode import BackendFailed, Event
from visionthink.core.geometry import Size
from visionthink.core.sample import Sample
from visionthink.datasets.world import generate
from visionthink.engines import Engine, Request, ScriptedEngine
from visionthink.episodes.prompting import prompting_of
from visionthink.errors import ConfigError, DataError, EngineError, UserError
from visionthink.evaluation.answer import to_answer
from visionthink.evaluation.benchmarks.samples import PICTURE_WORLD
from visionthink.evaluation.contender import Contender, all_views
from visionthink.evaluation.example import to_example
from visionthink.evaluation.incumbent import Incumbent
from visionthink.evaluation.interval import Bootstrap
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.outcome import Measured, evaluation_of
from visionthink.evaluation.showing import max_view_bytes
from visionthink.evaluation.stage import evaluate_with
from visionthink.judges import Grade, GradeItem, Judge
from visionthink.report import ReportInput, render_report
from visionthink.runs import StageResult
from visionthink.runs.judged_model import model_to_judge
from visionthink.runs.step_log import StepLog, StepRecord
from visionthink.samples import samples_to_evaluate

BASE, TRAINED = Path("base"), Path("trained")
NAMES = ("always_low", "always_high", "base", "trained")


@pytest.fixture
def maker(tmp_path: Path) -> TaskMaker:
    return task_maker(tmp_path / "run-1")


def samples_of(maker: TaskMaker) -> list[Sample]:
    tests = samples_to_evaluate(maker.config)
    return [*tests.samples, *tests.held_out]


def engines_of(maker: TaskMaker) -> dict[Path, ScriptedEngine]:
    """A base model that never asks, a trained one that asks when it should."""
    samples = samples_of(maker)
    return {BASE: seeing_engine(samples, asks=False), TRAINED: seeing_engine(samples)}


def opener(engines: Mapping[Path, Engine]) -> Callable[[Contender], Engine]:
    return lambda contender: engines[contender.model]


def evaluated(maker: TaskMaker) -> StageResult:
    return evaluated_with(engines_of(maker), maker)


def evaluated_with(engines: Mapping[Path, Engine], maker: TaskMaker) -> StageResult:
    return evaluate_with(opener(engines), base=BASE, candidate=TRAINED, task=maker.task("evaluate"))


def test_evaluate_stage_gives_the_figures_of_the_four_contenders(maker: TaskMaker) -> None:
    result = evaluated(maker)
    accuracy = {name: result.metrics[f"eval/accuracy/{name}"] for name in NAMES}
    want = {"always_low": 4 / 6, "always_high": 1.0, "base": 4 / 6, "trained": 1.0}
    assert accuracy == pytest.approx(want)
    assert result.metrics["eval/visual_tokens_mean/trained"] == pytest.approx((4 * 4 + 2 * 20) / 6)
    assert result.confusion == ((2, 0), (0, 4))


def test_evaluate_stage_holds_families_that_were_not_trained_apart(maker: TaskMaker) -> None:
    result = evaluated(maker)
    assert result.metrics["eval/num_samples/trained"] == 6
    assert result.facts["held_out"] == {
        "num_samples": 2,
        "resize_rate": {"needed": 1.0, "not_needed": None},
        "accuracy": {"always_low": 0.0, "always_high": 1.0, "base": 0.0, "trained": 1.0},
    }
    assert result.metrics["eval/family_accuracy/trained/suffix"] == 1.0


def test_evaluate_stage_compares_with_always_high_pair_by_pair(maker: TaskMaker) -> None:
    facts = evaluated(maker).facts
    ratio = facts["visual_token_ratio"]
    assert isinstance(ratio, dict)
    assert ratio["value"] == pytest.approx((4 * 4 + 2 * 20) / (6 * 16))
    assert facts["accuracy_ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_evaluate_stage_tells_the_tracker_whom_the_candidate_beats(maker: TaskMaker) -> None:
    metrics = evaluated(maker).metrics
    assert metrics["eval/paired_difference/always_low"] == pytest.approx(2 / 6)
    assert (metrics["eval/num_won/always_low"], metrics["eval/num_lost/always_low"]) == (2, 0)
    assert "eval/paired_difference/trained" not in metrics


def test_evaluate_stage_asks_greedily(maker: TaskMaker) -> None:
    engines = engines_of(maker)
    evaluated_with(engines, maker)
    sent = [request for engine in engines.values() for request in engine.requests]
    assert {request.sampling.temperature for request in sent} == {0.0}


def test_evaluate_stage_asks_a_judge_of_its_own_for_each_model_and_closes_it(maker: TaskMaker) -> None:
    judges: list[SternJudge] = []

    def open_judge() -> SternJudge:
        judges.append(SternJudge())
        return judges[-1]

    maker.open_judge = open_judge
    rows = evaluated(maker).facts["rows"]
    assert isinstance(rows, dict) and all(row["accuracy"]["value"] == 0 for row in rows.values())  # type: ignore[index, call-overload]
    assert len(judges) == 2 and all(judge.is_closed and judge.num_graded for judge in judges)


def test_evaluate_stage_writes_the_page_and_records_it(maker: TaskMaker) -> None:
    result = evaluated(maker)
    page = maker.folder.report_path.read_text()
    assert result.html == maker.folder.report_path
    assert "Picture world 0, seed 0" in page and page.count("data:image/png") > 6
    recorded = maker.recorded("evaluate")
    assert set(recorded.artifacts) == {
        "report.html",
        "figures/pareto.png",
        "figures/confusion.png",
        "figures/families.png",
    }
    assert recorded.finals == result.metrics


def test_evaluate_stage_shows_the_curves_of_the_training(maker: TaskMaker) -> None:
    log = StepLog(maker.folder.steps_path, last_step=0)
    for step in range(1, 4):
        log.append(StepRecord(step=step, metrics={"reward/mean": float(step)}))
    evaluated(maker)
    assert "figures/learning.png" in maker.recorded("evaluate").artifacts


def test_evaluate_stage_asks_only_what_is_missing(maker: TaskMaker) -> None:
    want = evaluated(maker)
    answers = maker.folder.stage_dir("evaluate") / "answers"
    (answers / "trained" / "test-00001.json").unlink()
    engines = engines_of(maker)
    got = evaluated_with(engines, maker)
    assert got == want
    assert len(engines[BASE].requests) == 0
    assert "evaluate: 30 of 32 answers were done before" in maker.said


def test_evaluate_stage_refuses_answers_to_other_samples(maker: TaskMaker) -> None:
    evaluated(maker)
    answers = maker.folder.stage_dir("evaluate") / "answers" / "base"
    shutil.copy(answers / "test-00001.json", answers / "test-00000.json")
    with pytest.raises(DataError, match=r"base/test-00000\.json holds answers of other samples"):
        evaluated(maker)


def test_model_to_judge_is_the_one_that_the_settings_name(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    maker = task_maker(tmp_path / "run-1", {"evaluate.model": str(model)})
    assert model_to_judge(maker.task("evaluate")) == model


def test_model_to_judge_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run-1 has no trained model; run `visionthink train` first"):
        model_to_judge(task_maker(tmp_path / "run-1").task("evaluate"))
    with pytest.raises(ConfigError, match="nowhere holds no model"):
        model_to_judge(task_maker(tmp_path / "run-2", {"evaluate.model": "nowhere"}).task("evaluate"))


def test_evaluate_stage_refuses_names_that_no_number_can_bear_before_it_asks(
    maker: TaskMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B9: not after the last answer."""
    engines = engines_of(maker)
    tests = samples_to_evaluate(maker.config)
    nameless = replace(tests, samples=(*tests.samples, replace(tests.samples[0], id="odd", family=" ")))
    world = replace(PICTURE_WORLD, source=lambda config, say: nameless)
    monkeypatch.setattr("visionthink.evaluation.stage.benchmark_of", lambda data: world)
    with pytest.raises(UserError, match="family: ' ' is no name"):
        evaluated_with(engines, maker)
    assert [len(engine.requests) for engine in engines.values()] == [0, 0]


def test_evaluation_without_a_graded_answer_has_no_figures() -> None:
    lost = Measured(
        contender=TRAINED_ONE,
        answers=[answer(failed=True, error="timed out")],
        held_out=(),
        latency=Latency(by_family={}, headline=()),
    )
    with pytest.raises(EngineError, match=r"no answer of the trained model could be graded, .* timed out"):
        evaluation_of(
            [lost],
            benchmark=PICTURE_WORLD,
            bootstrap=Bootstrap(num_bootstraps=20, seed=0),
            incumbent=Incumbent(state="none"),
        )


def test_evaluate_stage_words_and_scores_as_its_benchmark_says(
    maker: TaskMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partial credit, words of its own, and a judge that is told the clean question."""
    told: list[str] = []

    async def half(item: GradeItem, judge: Judge) -> Grade:
        told.append(item.question)
        return Grade(correct=0.5 * (await judge.grade(item)).correct)

    world = replace(PICTURE_WORLD, prompt=lambda sample: f"{sample.question} answer in one word .", score=half)
    monkeypatch.setattr("visionthink.evaluation.stage.benchmark_of", lambda data: world)
    engines = engines_of(maker)
    result = evaluated_with(engines, maker)
    assert result.metrics["eval/accuracy/trained"] == pytest.approx(0.5)
    asked = {request.messages[0].text for engine in engines.values() for request in engine.requests}
    assert all("answer in one word ." in text for text in asked)
    assert {sample.question for sample in samples_of(maker)} == set(told)


@dataclass
class PickyEngine:
    """Refuses one question."""

    inner: Engine
    question: str
    model: str = "picky"

    async def reply(self, request: Request) -> Event:
        if self.question in request.messages[0].text:
            return BackendFailed(error="a content filter", retryable=False)
        return await self.inner.reply(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


def test_evaluate_stage_says_what_it_ended_without(maker: TaskMaker) -> None:
    """One question that is refused for its own fault is counted and named, and is in no share."""
    samples = samples_of(maker)
    refused = next(sample for sample in samples if sample.family == "color")

    engines: dict[Path, Engine] = {**engines_of(maker)}
    engines[TRAINED] = PickyEngine(engines[TRAINED], refused.question)
    result = evaluated_with(engines, maker)
    rows = result.facts["rows"]
    assert isinstance(rows, dict) and isinstance(rows["trained"], dict)
    lost = rows["trained"]["num_failed"]
    assert isinstance(lost, int) and lost > 0
    assert rows["trained"]["failures"] == {"a content filter": lost}
    assert result.metrics["eval/num_failed/trained"] == lost
    assert result.metrics["eval/accuracy/trained"] == 1.0
    assert "a content filter" in maker.folder.report_path.read_text()


@pytest.mark.parametrize(("num_shown", "want"), [(0, 2**18), (12, 2**18), (64, 2**16), (1000, 4194)])
def test_views_share_what_a_page_may_weigh(num_shown: int, want: int) -> None:
    assert max_view_bytes(num_shown) == want


def test_report_of_large_views_can_still_be_sent(tmp_path: Path) -> None:
    """B15: six examples of noise, 2048 pixels a side, came to 78 MiB."""
    side = 2048
    picture = Image.frombytes("RGB", (side, side), random.Random(0).randbytes(3 * side * side))
    sample = next(iter(generate("test", 1, seed=0, families=["mark"])))
    config = RunConfig(view=ViewConfig(max_pixels=side**2, min_pixels=1))
    call = '<tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'
    finish = finished(prompting_of(config).spec("what ?", Size(width=side, height=side)), call, "<answer>x</answer>")
    made = to_answer(sample, done(finish, Grade(correct=1.0)), all_views)
    most = max_view_bytes(12)
    examples = (to_example("what ?", picture, finish, made, max_view_bytes=most),) * 6
    assert [view.width for turn in examples[0].turns for view in turn.views] == [1036, 2044]
    assert len(render_report(ReportInput(title="x", examples=examples))) < 8 * 1024**2
