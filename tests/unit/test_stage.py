import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fakes.stage_task import tiny_config

from visionthink import stage as subject
from visionthink.errors import ConfigError, DataError, UserError
from visionthink.metrics import SERVE_LATENCY_S
from visionthink.runs import RunFolder, StageResult, StageTask, locked
from visionthink.stage import run_stage
from visionthink.tracking import NullRegistry, NullTracker, Tracking

CONFIG = tiny_config()
CALLS: list[StageTask] = []


def good(task: StageTask) -> StageResult:
    CALLS.append(task)
    return StageResult(
        metrics={SERVE_LATENCY_S.key(): 0.5},
        artifacts={"model": task.dir / "model"},
        confusion=((1, 2), (3, 4)),
        html=task.folder.report_path,
    )


def bad(task: StageTask) -> StageResult:
    raise DataError("row 3 is broken; mend it")


def buggy(task: StageTask) -> StageResult:
    raise ZeroDivisionError("oh")


def interrupted(task: StageTask) -> StageResult:
    raise KeyboardInterrupt


FUNCTIONS: dict[str, Callable[[StageTask], StageResult]] = {
    "label": good,
    "train": bad,
    "evaluate": buggy,
    "register": interrupted,
    "serve": good,
}


@pytest.fixture(autouse=True)
def stages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[StageTask], StageResult]]:
    """No MLflow and no torch; stages of this file in place of the real ones."""
    functions = dict(FUNCTIONS)
    tracking = Tracking(tracker=NullTracker(), registry=NullRegistry())
    monkeypatch.setattr(subject, "tracking_of", lambda config, folder, env: tracking)
    monkeypatch.setattr(subject, "_function", lambda stage, config: functions[stage])
    monkeypatch.setattr(subject, "_RUNS_A_MODEL", frozenset())
    CALLS.clear()
    return functions


def test_run_stage_returns_what_a_component_needs(tmp_path: Path) -> None:
    output = run_stage("label", CONFIG.model_dump_json(), str(tmp_path / "run-1"))
    assert output == {
        "metrics": {"serve/latency_s": 0.5},
        "artifacts": {"model": str(tmp_path / "run-1" / "label" / "model")},
        "confusion": [[1, 2], [3, 4]],
        "html": str(tmp_path / "run-1" / "report.html"),
    }


def test_run_stage_runs_a_stage_that_is_done_no_more(tmp_path: Path) -> None:
    first = run_stage("label", CONFIG.model_dump_json(), str(tmp_path))
    assert run_stage("label", CONFIG.model_dump_json(), str(tmp_path)) == first
    assert len(CALLS) == 1


@pytest.mark.parametrize(("is_owed", "want"), [(True, 2), (False, 1)])
def test_run_stage_runs_a_stage_again_that_a_registry_missed(
    is_owed: bool, want: int, tmp_path: Path, stages: dict[str, Callable[[StageTask], StageResult]]
) -> None:
    def owing(task: StageTask) -> StageResult:
        CALLS.append(task)
        return StageResult(facts={"owed": is_owed})

    stages["register"] = owing
    for _ in range(2):
        run_stage("register", CONFIG.model_dump_json(), str(tmp_path))
    assert len(CALLS) == want


def test_run_stage_keeps_settings_and_seconds(tmp_path: Path) -> None:
    run_stage("label", CONFIG.model_dump_json(), str(tmp_path))
    assert RunFolder(tmp_path).config() == CONFIG
    assert json.loads((tmp_path / "label" / "seconds.json").read_text())["wall_s"] >= 0


@pytest.mark.parametrize(
    ("stage", "error", "want"),
    [
        ("train", DataError, {"message": "row 3 is broken; mend it", "exit_code": 2}),
        (
            "evaluate",
            ZeroDivisionError,
            {"message": "ZeroDivisionError: oh", "exit_code": 1},
        ),
        (
            "register",
            KeyboardInterrupt,
            {"message": "KeyboardInterrupt: ", "exit_code": 130},
        ),
    ],
    ids=["the user can mend it", "a bug", "interrupted"],
)
def test_run_stage_leaves_word_why_it_failed(
    tmp_path: Path, stage: str, error: type[BaseException], want: dict[str, object]
) -> None:
    with pytest.raises(error):
        run_stage(stage, CONFIG.model_dump_json(), str(tmp_path))
    assert json.loads((tmp_path / stage / "error.json").read_text()) == {"error": error.__name__, **want}
    assert not (tmp_path / stage / "result.json").exists()


def test_run_stage_takes_the_word_back_when_it_succeeds(
    tmp_path: Path, stages: dict[str, Callable[[StageTask], StageResult]]
) -> None:
    with pytest.raises(DataError):
        run_stage("train", CONFIG.model_dump_json(), str(tmp_path))
    stages["train"] = good
    run_stage("train", CONFIG.model_dump_json(), str(tmp_path))
    assert not (tmp_path / "train" / "error.json").exists()


def test_run_stage_refuses_other_settings(tmp_path: Path) -> None:
    run_stage("label", CONFIG.model_dump_json(), str(tmp_path))
    with pytest.raises(ConfigError, match="begun with other settings: seed was 0, now 1"):
        run_stage("serve", tiny_config({"seed": 1}).model_dump_json(), str(tmp_path))


def test_run_stage_refuses_an_unknown_family_before_it_begins(tmp_path: Path) -> None:
    config = tiny_config({"data.families": ["nope"]})
    with pytest.raises(ConfigError, match="unknown families"):
        run_stage("label", config.model_dump_json(), str(tmp_path))
    assert CALLS == []


def test_run_stage_refuses_a_second_process_on_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_WAIT_S", 0.0)
    with locked(tmp_path / "label"), pytest.raises(UserError, match="is working on"):
        run_stage("label", CONFIG.model_dump_json(), str(tmp_path))


def test_run_stage_knows_five_stages(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no stage 'bake'; choose one of label, train, evaluate, register, serve"):
        run_stage("bake", "{}", str(tmp_path))


@pytest.mark.parametrize(
    ("files", "overrides", "is_told"),
    [
        (["config.json"], {}, True),
        (["config.json"], {"view.max_pixels": 4194304}, False),
        (["config.json", "visionthink.json"], {}, False),
    ],
    ids=["a model of somebody else", "its bounds are set", "a model of ours"],
)
def test_bounds_that_fit_the_small_model_alone_are_told(
    files: list[str], overrides: dict[str, object], is_told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    subject.check_inputs(tiny_config({"model.base": str(tmp_path), **overrides}), trains=True)
    assert ("--preset paper-7b-4x8" in capsys.readouterr().err) is is_told


@pytest.mark.parametrize(
    ("settings", "want"),
    [
        pytest.param({}, "picture world", id="the picture world"),
        pytest.param({"evaluate.benchmark": "chartqa", "data.eval_source": "rows"}, "chartqa", id="a public benchmark"),
        pytest.param({"data.source": "own", "data.eval_source": "rows"}, "rows", id="rows of one's own"),
    ],
)
def test_an_evaluation_is_found_in_the_tracker_by_its_benchmark(
    settings: dict[str, object], want: str, stages: dict[str, Callable[[StageTask], StageResult]], tmp_path: Path
) -> None:
    stages["evaluate"] = good
    run_stage("evaluate", tiny_config(settings).model_dump_json(), str(tmp_path / "run-1"))
    assert CALLS[0].spec.tags["visionthink.benchmark"] == want


def test_other_stages_have_no_benchmark(tmp_path: Path) -> None:
    run_stage("label", CONFIG.model_dump_json(), str(tmp_path / "run-1"))
    assert "visionthink.benchmark" not in CALLS[0].spec.tags


def test_tokens_dropped_before_a_layer_that_is_not_there_are_refused_before_a_run_is_begun() -> None:
    config = tiny_config({"evaluate.contenders": ["always_high+sparsevlm@0.5"], "evaluate.sparsevlm_layers": [2, 6]})
    with pytest.raises(ConfigError, match="before layer 6, counted from 0, but the model has 3 layers"):
        subject.check_inputs(config, trains=True)
