from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.fakes.memory_registry import MemoryRegistry
from tests.fakes.stage_task import TaskMaker, task_maker

from visionthink.config import override_config
from visionthink.core.json_value import Json
from visionthink.errors import DataError
from visionthink.registration import register_stage
from visionthink.runs import StageResult
from visionthink.storage import verify
from visionthink.tracking import ModelRegistry, NullRegistry

RULE: Mapping[str, object] = {"register_model.min_samples": 1}


def figures(accuracy: float, tokens: float, needed: float = 0.0, not_needed: float = 0.0) -> Json:
    return {
        "num_samples": 200,
        "accuracy": accuracy,
        "visual_tokens_mean": tokens,
        "resize_ratio_needed": needed,
        "resize_ratio_not_needed": not_needed,
        "failed_ratio": 0.0,
        "latency_p95_s": None,
    }


NOTHING: Json = {"state": "none", "version": None, "source": "", "reason": ""}


def found(state: str, version: str | None, reason: str = "") -> Json:
    """What an evaluation found out about the model in use."""
    return {"state": state, "version": version, "source": "somewhere", "reason": reason}


def evaluated(
    path: Path,
    *,
    trained: Json,
    overrides: Mapping[str, object] = RULE,
    champion: Json = None,
    incumbent: Json = NOTHING,
    registry: ModelRegistry | None = None,
) -> TaskMaker:
    maker = task_maker(path, overrides)
    maker.folder.begin(maker.config)
    gate: dict[str, Json] = {
        "candidate": trained,
        "full_view": figures(0.98, 16.0),
        "base": figures(0.8, 12.0, 0.5, 0.5),
    }
    if champion is not None:
        gate["incumbent"] = champion
    maker.folder.keep_result("evaluate", StageResult(facts={"gate": gate, "rows": {}, "incumbent": incumbent}))
    model = maker.folder.trained_model
    model.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "manifest.json"):
        (model / name).write_text(f"{name} of training")
    maker.registry = MemoryRegistry() if registry is None else registry
    return maker


GOOD, BAD = figures(0.97, 9.0, 0.98, 0.01), figures(0.97, 15.0, 0.98, 0.5)


def registry_of(maker: TaskMaker) -> MemoryRegistry:
    assert isinstance(maker.registry, MemoryRegistry)
    return maker.registry


def test_model_that_passes_the_gate_becomes_the_champion(tmp_path: Path) -> None:
    maker = evaluated(tmp_path / "run-1", trained=GOOD)
    result = register_stage(maker.task("register"))
    assert (result.facts["promoted"], result.facts["version"]) == (True, "1")
    assert registry_of(maker).aliases == {"champion": "1"}


def test_model_that_fails_the_gate_is_registered_without_the_alias(tmp_path: Path) -> None:
    maker = evaluated(tmp_path / "run-1", trained=BAD)
    result = register_stage(maker.task("register"))
    assert result.facts["promoted"] is False
    assert registry_of(maker).aliases == {}
    assert registry_of(maker).versions["run-1"].tags["promoted"] == "false"
    assert any(line.startswith("gate: FAIL max_visual_token_ratio") for line in maker.said)


def test_alias_is_left_to_a_rollout_where_versions_come_into_use_by_one(tmp_path: Path) -> None:
    maker = evaluated(tmp_path / "run-1", trained=GOOD)
    maker.config = override_config(maker.config, {"register_model.alias_moves_at": "rollout"})
    result = register_stage(maker.task("register"))
    assert registry_of(maker).aliases == {} and len(registry_of(maker).versions) == 1
    assert result.facts["promoted"] is False and not result.is_owed


def test_model_that_no_registry_holds_is_not_promoted(tmp_path: Path) -> None:
    registries: tuple[ModelRegistry, ...] = (NullRegistry(), MemoryRegistry(is_deaf=True))
    for number, registry in enumerate(registries):
        maker = evaluated(tmp_path / f"run-{number}", trained=GOOD)
        maker.registry = registry
        result = register_stage(maker.task("register"))
        decision = result.facts["decision"]
        assert isinstance(decision, dict) and decision["promote"] is True
        assert result.facts["promoted"] is False


@pytest.mark.parametrize(
    ("registry", "trained", "want"),
    [
        pytest.param(NullRegistry(), GOOD, True, id="no registry holds the version"),
        pytest.param(NullRegistry(), BAD, True, id="no registry holds the refused version"),
        pytest.param(MemoryRegistry(is_deaf=True), GOOD, True, id="the alias did not move"),
        pytest.param(MemoryRegistry(is_deaf=True), BAD, False, id="no alias was to move"),
        pytest.param(MemoryRegistry(), GOOD, False, id="all is well"),
    ],
)
def test_register_stage_owes_what_a_registry_missed(
    tmp_path: Path, registry: ModelRegistry, trained: Json, want: bool
) -> None:
    maker = evaluated(tmp_path / "run-1", trained=trained)
    maker.registry = registry
    assert register_stage(maker.task("register")).is_owed is want
    assert any("`visionthink register` again" in line for line in maker.said) is want


def test_register_stage_makes_up_for_a_registry_that_was_away(tmp_path: Path) -> None:
    maker = evaluated(tmp_path / "run-1", trained=GOOD)
    maker.registry = NullRegistry()
    assert register_stage(maker.task("register")).facts["promoted"] is False
    maker.registry = MemoryRegistry()
    result = register_stage(maker.task("register"))
    assert (result.facts["promoted"], result.facts["version"], result.is_owed) == (True, "1", False)
    assert registry_of(maker).aliases == {"champion": "1"}


def test_published_model_is_whole_and_carries_its_figures(tmp_path: Path) -> None:
    maker = evaluated(tmp_path / "run-1", trained=GOOD)
    model = register_stage(maker.task("register")).artifacts["model"]
    assert set(verify(model).files) == {"config.json", "model.safetensors", "evaluation.json"}
    assert '"promote": true' in (model / "evaluation.json").read_text()


def test_register_stage_adopts_what_an_earlier_try_published(tmp_path: Path) -> None:
    maker = evaluated(tmp_path / "run-1", trained=GOOD)
    want = register_stage(maker.task("register"))
    before = (want.artifacts["model"] / "manifest.json").stat().st_mtime_ns
    got = register_stage(maker.task("register"))
    assert got == want
    assert (got.artifacts["model"] / "manifest.json").stat().st_mtime_ns == before
    assert len(registry_of(maker).versions) == 1


def test_register_stage_also_publishes_to_a_store(tmp_path: Path) -> None:
    store = {**RULE, "register_model.store": str(tmp_path / "store")}
    maker = evaluated(tmp_path / "run-1", trained=GOOD, overrides=store)
    register_stage(maker.task("register"))
    assert (tmp_path / "store" / "visionthink" / "run-1" / "manifest.json").is_file()
    assert registry_of(maker).versions["run-1"].source == f"{tmp_path}/store/visionthink/run-1"


def test_register_stage_needs_an_evaluation(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"stage evaluate .* run `visionthink evaluate` first"):
        register_stage(task_maker(tmp_path / "run-1").task("register"))


def test_gate_can_do_without_a_ground_truth(tmp_path: Path) -> None:
    unknown = {**GOOD, "resize_ratio_needed": None, "resize_ratio_not_needed": None}  # type: ignore[dict-item]
    lenient = {**RULE, "register_model.check_resize_ratios": False}
    strict = evaluated(tmp_path / "run-1", trained=unknown)
    assert register_stage(strict.task("register")).facts["promoted"] is False
    maker = evaluated(tmp_path / "run-2", trained=unknown, overrides=lenient)
    assert register_stage(maker.task("register")).facts["promoted"] is True


# --- the model in use ---


def promoted(task_maker: TaskMaker) -> bool:
    return register_stage(task_maker.task("register")).facts["promoted"] is True


def why_not(maker: TaskMaker) -> str:
    """The one reason against."""
    (line,) = [line for line in maker.said if line.startswith("gate: FAIL")]
    return line


def test_worse_model_than_the_one_in_use_is_not_promoted(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    assert promoted(evaluated(tmp_path / "run-1", trained=GOOD, registry=registry))
    champion = figures(0.99, 9.0, 0.98, 0.01)
    second = evaluated(
        tmp_path / "run-2", trained=GOOD, champion=champion, incumbent=found("measured", "1"), registry=registry
    )
    assert not promoted(second)
    assert registry.aliases == {"champion": "1"}
    assert "accuracy 0.9700 against 0.9900 of the incumbent" in why_not(second)


def test_better_model_than_the_one_in_use_takes_its_place(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    assert promoted(evaluated(tmp_path / "run-1", trained=GOOD, registry=registry))
    champion, incumbent = figures(0.96, 9.0, 0.98, 0.01), found("measured", "1")
    second = evaluated(tmp_path / "run-2", trained=GOOD, champion=champion, incumbent=incumbent, registry=registry)
    assert promoted(second)
    assert registry.aliases == {"champion": "2"}


def test_old_run_that_is_registered_again_leaves_the_newer_champion(tmp_path: Path) -> None:
    """B5: old, new, old again."""
    registry = MemoryRegistry()
    old = evaluated(tmp_path / "run-1", trained=GOOD, registry=registry)
    assert promoted(old)
    champion, incumbent = figures(0.96, 9.0, 0.98, 0.01), found("measured", "1")
    assert promoted(
        evaluated(tmp_path / "run-2", trained=GOOD, champion=champion, incumbent=incumbent, registry=registry)
    )
    assert not promoted(old)
    assert registry.aliases == {"champion": "2"}
    assert "version 2 is in use now (champion), and there was none when run run-1 was evaluated" in why_not(old)


def test_champion_that_is_registered_again_stays_champion(tmp_path: Path) -> None:
    maker = evaluated(tmp_path / "run-1", trained=GOOD)
    assert promoted(maker) and promoted(maker)
    assert registry_of(maker).aliases == {"champion": "1"}


def test_two_runs_measured_against_one_champion_do_not_both_replace_it(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    assert promoted(evaluated(tmp_path / "run-1", trained=GOOD, registry=registry))
    champion, incumbent = figures(0.96, 9.0, 0.98, 0.01), found("measured", "1")
    second, third = (
        evaluated(tmp_path / name, trained=GOOD, champion=champion, incumbent=incumbent, registry=registry)
        for name in ("run-2", "run-3")
    )
    assert promoted(second) and not promoted(third)
    assert registry.aliases == {"champion": "2"}
    assert "it was version 1 when run run-3 was evaluated" in why_not(third)


@pytest.mark.parametrize("is_away_later", [True, False])
def test_registry_that_cannot_be_asked_is_not_one_without_a_champion(tmp_path: Path, is_away_later: bool) -> None:
    registry = MemoryRegistry()
    assert promoted(evaluated(tmp_path / "run-1", trained=GOOD, registry=registry))
    unknown = found("unmeasured", None if is_away_later else "1", "nobody answers")
    second = evaluated(tmp_path / "run-2", trained=GOOD, incumbent=unknown, registry=registry)
    registry.is_away = is_away_later
    assert not promoted(second)
    assert registry.aliases == {"champion": "1"}
    assert "the incumbent was not measured: " in why_not(second) and "nobody answers" in why_not(second)


def test_model_in_use_that_is_judged_again_may_be_registered_again(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    assert promoted(evaluated(tmp_path / "run-1", trained=GOOD, registry=registry))
    assert promoted(evaluated(tmp_path / "run-2", trained=GOOD, incumbent=found("same", "1"), registry=registry))


def test_evaluation_of_another_version_is_refused(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    assert promoted(evaluated(tmp_path / "run-1", trained=GOOD, registry=registry))
    with pytest.raises(DataError, match="does not say which model was in use"):
        register_stage(evaluated(tmp_path / "run-2", trained=GOOD, incumbent=None, registry=registry).task("register"))


def test_evaluation_without_figures_for_the_gate_is_refused(tmp_path: Path) -> None:
    maker = evaluated(tmp_path / "run-1", trained=GOOD)
    maker.folder.keep_result("evaluate", StageResult(facts={"gate": {"candidate": GOOD}, "incumbent": NOTHING}))
    with pytest.raises(DataError, match="no figures for the gate of full_view, base"):
        register_stage(maker.task("register"))
