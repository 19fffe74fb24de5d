"""The model in use as one more contender; what cannot be had is told and never read as "there is none"."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fakes.memory_registry import MemoryRegistry
from tests.fakes.seeing import seeing_engine
from tests.fakes.stage_task import TaskMaker, task_maker

from visionthink.engines import Engine
from visionthink.errors import ConfigError
from visionthink.evaluation.contender import Contender
from visionthink.evaluation.stage import evaluate_with
from visionthink.runs import StageResult
from visionthink.samples import samples_to_evaluate
from visionthink.storage import LocalStore, publish_tree
from visionthink.tracking import RunSpec


def model_folder(path: Path, weights: str) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_text(weights)
    return path


@pytest.fixture
def maker(tmp_path: Path) -> TaskMaker:
    """A run whose registry holds one model, the champion of another run."""
    made = task_maker(tmp_path / "run-2")
    made.registry = registry = MemoryRegistry()
    source = model_folder(tmp_path / "store", "old weights")
    (source / "evaluation.json").write_text("{}")
    registry.set_alias(registry.register("visionthink", source, RunSpec(run_id="run-1", stage="register")), "champion")
    model_folder(tmp_path / "trained", "new weights")
    return made


def opener(maker: TaskMaker, *, broken: str = "") -> Callable[[Contender], Engine]:
    """The base model and the champion never ask; `broken` is a part of the name of a model that cannot be loaded."""
    tests = samples_to_evaluate(maker.config)

    def open_engine(contender: Contender) -> Engine:
        if broken and broken in str(contender.model):
            raise ConfigError(f"the model in {contender.model} cannot be loaded: torn")
        return seeing_engine([*tests.samples, *tests.held_out], asks=contender.model.name == "trained")

    return open_engine


def evaluated(maker: TaskMaker, *, broken: str = "") -> StageResult:
    candidate = maker.folder.path.parent / "trained"
    return evaluate_with(
        opener(maker, broken=broken), base=Path("base"), candidate=candidate, task=maker.task("evaluate")
    )


def state_of(result: StageResult) -> tuple[object, object, str]:
    found = result.facts["incumbent"]
    assert isinstance(found, dict)
    return found["state"], found["version"], str(found["reason"])


def registry_of(maker: TaskMaker) -> MemoryRegistry:
    assert isinstance(maker.registry, MemoryRegistry)
    return maker.registry


def test_model_in_use_answers_the_same_questions(maker: TaskMaker) -> None:
    result = evaluated(maker)
    assert state_of(result) == ("measured", "1", "")
    assert result.metrics["eval/accuracy/champion"] == pytest.approx(4 / 6)
    assert result.metrics["eval/num_samples/champion"] == 6
    gate = result.facts["gate"]
    assert isinstance(gate, dict) and set(gate) == {"full_view", "base", "candidate", "incumbent"}
    assert "model in use" in maker.folder.report_path.read_text()
    assert not (maker.folder.stage_dir("evaluate") / "incumbent").exists(), "its files are not kept"


def test_without_an_alias_there_is_no_model_in_use(maker: TaskMaker) -> None:
    registry_of(maker).aliases.clear()
    result = evaluated(maker)
    assert state_of(result) == ("none", None, "")
    assert "eval/accuracy/champion" not in result.metrics


def test_registry_that_is_away_leaves_the_model_in_use_unmeasured(maker: TaskMaker) -> None:
    registry_of(maker).is_away = True
    result = evaluated(maker)
    assert state_of(result) == ("unmeasured", None, "the registry cannot be asked: nobody answers")
    assert "evaluate: the model in use (champion) is not measured: the registry cannot be asked: nobody answers" in (
        maker.said
    )
    assert "The model in use is not measured" in maker.folder.report_path.read_text()


def test_model_whose_files_are_gone_is_unmeasured(maker: TaskMaker) -> None:
    shutil.rmtree(maker.folder.path.parent / "store")
    state, version, reason = state_of(evaluated(maker))
    assert (state, version) == ("unmeasured", "1") and "version 1 cannot be fetched" in reason


def test_model_that_cannot_be_loaded_is_unmeasured_and_the_rest_stands(maker: TaskMaker) -> None:
    result = evaluated(maker, broken="incumbent")
    state, version, reason = state_of(result)
    assert (state, version) == ("unmeasured", "1") and "cannot be loaded: torn" in reason
    assert result.metrics["eval/accuracy/trained"] == 1.0


def test_model_with_a_card_that_cannot_be_read_is_unmeasured(maker: TaskMaker) -> None:
    (maker.folder.path.parent / "store" / "visionthink.json").write_text("{")
    assert state_of(evaluated(maker))[0] == "unmeasured"


@pytest.mark.parametrize("by", ["files", "run"])
def test_model_in_use_is_not_held_against_itself(maker: TaskMaker, by: str) -> None:
    if by == "files":
        shutil.copytree(maker.folder.path.parent / "trained", maker.folder.path.parent / "store", dirs_exist_ok=True)
    else:
        registry = registry_of(maker)
        spec = RunSpec(run_id=maker.folder.run_id, stage="register")
        registry.set_alias(registry.register("visionthink", "somewhere", spec), "champion")
    result = evaluated(maker)
    assert state_of(result)[0] == "same"
    assert "eval/accuracy/champion" not in result.metrics
    assert any("is the one that is judged" in line for line in maker.said)


def test_champion_that_changes_while_the_stage_is_killed_does_not_mix_with_the_first(
    maker: TaskMaker, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="torn"):
        evaluated(maker, broken="trained")
    registry = registry_of(maker)
    newer = registry.register(
        "visionthink", model_folder(tmp_path / "newer", "x"), RunSpec(run_id="run-3", stage="register")
    )
    registry.set_alias(newer, "champion")
    assert state_of(evaluated(maker))[:2] == ("measured", "1")


def test_champion_in_a_store_is_fetched_from_it(
    maker: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    store = LocalStore(tmp_path / "bucket")
    publish_tree(store, "run-1", tmp_path / "store")
    monkeypatch.setattr("visionthink.evaluation.incumbent.open_store", {"s3://bucket/visionthink": store}.__getitem__)
    registry = registry_of(maker)
    spec = RunSpec(run_id="run-0", stage="register")
    registry.set_alias(registry.register("visionthink", "s3://bucket/visionthink/run-1", spec), "champion")
    assert state_of(evaluated(maker))[:2] == ("measured", "2")
