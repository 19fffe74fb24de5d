"""What a stage's judge did is told to the tracker, however the stage ends; what it said lies in the run's folder."""

import asyncio
from pathlib import Path

import pytest
from tests.contract.engines.chat_server import chat_server
from tests.fakes.memory_tracker import MemoryTracker
from tests.fakes.stage_task import tiny_config

from visionthink import stage as subject
from visionthink.config import RunConfig, override_config
from visionthink.engines import ScriptedEngine
from visionthink.errors import JudgeError
from visionthink.judges import GradeItem
from visionthink.judges.call_log import read_calls
from visionthink.runs import RunFolder, StageResult, StageTask
from visionthink.serving.server import background_server
from visionthink.stage import run_stage
from visionthink.tracking import NullRegistry, Tracking

OPEN = [
    GradeItem(question="why ?", answer="because the road is wet today", prediction=f"{said} rain on the street")
    for said in ("there was", "there was", "I saw", "I guess")
]
TOLD = GradeItem(question="what color ?", answer="red", prediction="blue")


def grading(task: StageTask) -> StageResult:
    async def grade() -> None:
        judge = task.open_judge()
        try:
            for item in (TOLD, *OPEN):
                await judge.grade(item)
        finally:
            await judge.aclose()

    asyncio.run(grade())
    return StageResult()


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> MemoryTracker:
    tracker = MemoryTracker()
    tracking = Tracking(tracker=tracker, registry=NullRegistry())
    monkeypatch.setattr(subject, "tracking_of", lambda config, folder, env: tracking)
    monkeypatch.setattr(subject, "_function", lambda stage, config: grading)
    monkeypatch.setattr(subject, "_RUNS_A_MODEL", frozenset())
    return tracker


def judged_by(url: str, **settings: object) -> RunConfig:
    named = {"judge.uri": f"rule+openai:{url}/v1?model=scripted"}
    return override_config(tiny_config(), named | {f"judge.{key}": value for key, value in settings.items()})


def metrics_of(tracker: MemoryTracker) -> dict[str, float]:
    return {
        key: value for run in tracker.runs.values() for key, value in run.finals.items() if key.startswith("judge/")
    }


def test_a_stage_tells_what_its_judge_did(tmp_path: Path, tracker: MemoryTracker) -> None:
    engine = ScriptedEngine(["Score: 1", "Score: 0 or 1", "Score: 0", "?", "?", "?"])
    with background_server(chat_server(engine), ready_path=None) as url:
        run_stage("evaluate", judged_by(url).model_dump_json(), str(tmp_path / "one"))
    found = metrics_of(tracker)
    assert found.pop("judge/num_tokens/evaluate") > 100
    assert found == {
        "judge/num_told/evaluate": 1,
        "judge/num_remembered/evaluate": 1,
        "judge/num_calls/evaluate": 6,
        "judge/num_unclear/evaluate": 4,
        "judge/num_failed/evaluate": 1,
    }
    calls = list(read_calls(RunFolder(tmp_path / "one").judge_calls_path))
    assert [call.run for call in calls] == ["one"] * 6


def test_a_stage_that_spent_all_it_may_says_so_and_goes_on_once_it_may_more(
    tmp_path: Path, tracker: MemoryTracker
) -> None:
    engine = ScriptedEngine(lambda request: "Score: 1")
    with background_server(chat_server(engine), ready_path=None) as url:
        with pytest.raises(JudgeError, match=r"2 calls \(judge\.max_calls\)"):
            run_stage("evaluate", judged_by(url, max_calls=2).model_dump_json(), str(tmp_path / "one"))
        assert metrics_of(tracker)["judge/num_calls/evaluate"] == 2
        run_stage("evaluate", judged_by(url, max_calls=3).model_dump_json(), str(tmp_path / "one"))
    assert len(engine.requests) == 3 and RunFolder(tmp_path / "one").is_done("evaluate")


def test_runs_that_name_one_cache_pay_once(tmp_path: Path, tracker: MemoryTracker) -> None:
    engine = ScriptedEngine(lambda request: "Score: 1")
    with background_server(chat_server(engine), ready_path=None) as url:
        config = judged_by(url, cache=str(tmp_path / "verdicts.jsonl"))
        for name in ("one", "two"):
            run_stage("evaluate", config.model_dump_json(), str(tmp_path / name))
    assert len(engine.requests) == 3
    assert not RunFolder(tmp_path / "one").judge_calls_path.exists()


def test_a_judge_that_asks_nobody_tells_nothing(tmp_path: Path, tracker: MemoryTracker) -> None:
    run_stage("evaluate", tiny_config().model_dump_json(), str(tmp_path / "one"))
    assert metrics_of(tracker) == {}
