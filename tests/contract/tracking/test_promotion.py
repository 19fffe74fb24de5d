"""Which model is in use, with the registry of a real MLflow: old runs move no alias back, the better model stays."""

import shutil
import uuid
from pathlib import Path

import pytest
from tests.fakes.stage_task import TaskMaker, task_maker
from tests.unit.evaluation.test_incumbent import evaluated, model_folder, state_of

from visionthink.core.json_value import Json
from visionthink.registration import register_stage
from visionthink.runs import StageResult
from visionthink.tracking import MlflowConnection, MlflowRegistry, MlflowSettings, ModelRegistry, ResilientRegistry

LENIENT = {
    "register_model.min_samples": 1,
    "register_model.max_visual_token_ratio": 2.0,
    "register_model.min_accuracy_ratio": 0.0,
    "register_model.check_resize_ratios": False,
}


@pytest.fixture
def registry(empty_database: Path, tmp_path: Path) -> ModelRegistry:
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path)}"
    settings = MlflowSettings(
        tracking_uri=uri, experiment=f"test-{uuid.uuid4().hex[:8]}", artifact_root=tmp_path / "mlartifacts"
    )
    return ResilientRegistry(MlflowRegistry(MlflowConnection(settings)), say=pytest.fail)


def run_of(tmp_path: Path, name: str, registry: ModelRegistry) -> TaskMaker:
    """A run in a place of its own, with a trained model."""
    maker = task_maker(tmp_path / name / name, LENIENT)
    maker.registry = registry
    model_folder(tmp_path / name / "trained", f"weights of {name}")
    shutil.copytree(tmp_path / name / "trained", maker.folder.trained_model)
    return maker


def judged(maker: TaskMaker, *, accuracy: float | None = None) -> StageResult:
    """The evaluation of a run, kept; `accuracy` stands in for what the candidate came to."""
    result = evaluated(maker)
    if accuracy is not None:
        gate = result.facts["gate"]
        assert isinstance(gate, dict) and isinstance(gate["candidate"], dict)
        gate["candidate"]["accuracy"] = accuracy
    maker.folder.keep_result("evaluate", result)
    return result


def registered(maker: TaskMaker) -> tuple[Json, Json]:
    facts = register_stage(maker.task("register")).facts
    return facts["promoted"], facts["version"]


def in_use(registry: ModelRegistry) -> str | None:
    found = registry.find("visionthink", "champion")
    return None if found is None else found.version


def test_old_new_old_leaves_the_new_one_in_use(tmp_path: Path, registry: ModelRegistry) -> None:
    """B5 on real MLflow, from the evaluation to the alias."""
    old, new = run_of(tmp_path, "old", registry), run_of(tmp_path, "new", registry)
    assert state_of(judged(old))[0] == "none"
    assert registered(old) == (True, "1")
    assert state_of(judged(new))[:2] == ("measured", "1")
    assert registered(new) == (True, "2")
    assert registered(old) == (False, "1")
    assert in_use(registry) == "2"
    assert registered(new) == (True, "2"), "the champion that is registered again stays champion"


def test_worse_candidate_leaves_the_champion_in_use(tmp_path: Path, registry: ModelRegistry) -> None:
    first, second = run_of(tmp_path, "first", registry), run_of(tmp_path, "second", registry)
    judged(first)
    assert registered(first) == (True, "1")
    # The champion never asks in this test, and answers two of three; the base model does the same.
    judged(second, accuracy=0.5)
    assert registered(second) == (False, "2")
    assert in_use(registry) == "1"
    assert any(line.startswith("gate: FAIL min_incumbent_gain: accuracy 0.5000 against 0.6667") for line in second.said)


def test_registry_that_goes_away_is_not_read_as_an_empty_one(tmp_path: Path, refused_uri: str) -> None:
    settings = MlflowSettings(tracking_uri=refused_uri, experiment="x", request_timeout_s=1, max_retries=0)
    said: list[str] = []
    away = ResilientRegistry(MlflowRegistry(MlflowConnection(settings)), say=said.append)
    maker = run_of(tmp_path, "run", away)
    state, version, reason = state_of(judged(maker))
    assert (state, version) == ("unmeasured", None) and "the registry cannot be asked" in reason
    assert registered(maker) == (False, None)
    assert any("FAIL min_incumbent_gain: the incumbent was not measured" in line for line in maker.said)
