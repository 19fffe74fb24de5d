from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.fakes.stage_task import TaskMaker, task_maker

from visionthink.core.json_value import Json
from visionthink.errors import DataError
from visionthink.registration import register_stage
from visionthink.runs import StageResult
from visionthink.storage import verify
from visionthink.tracking import ModelRegistry, NullRegistry, RegisteredModel, RunSpec

RULE: Mapping[str, object] = {"register_model.min_samples": 1}


@dataclass
class MemoryRegistry:
    """Versions by run, aliases by name."""

    versions: dict[str, RegisteredModel] = field(default_factory=dict)
    is_deaf: bool = False
    """Whether aliases do not move: it went away in between."""
    aliases: dict[str, str] = field(default_factory=dict)

    def register(
        self, name: str, source: Path | str, spec: RunSpec, *, tags: Mapping[str, str] | None = None
    ) -> RegisteredModel:
        made = RegisteredModel(
            name=name, version=str(len(self.versions) + 1), source=str(source), tags=dict(tags or {})
        )
        return self.versions.setdefault(spec.run_id, made)

    def set_alias(self, model: RegisteredModel, alias: str) -> None:
        assert model.version is not None
        if not self.is_deaf:
            self.aliases[alias] = model.version

    def find(self, name: str, alias: str) -> RegisteredModel | None:
        return next((made for made in self.versions.values() if made.version == self.aliases.get(alias)), None)

    def fetch(self, model: RegisteredModel, target: Path) -> Path:
        return Path(model.source)


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


def evaluated(path: Path, *, trained: Json, overrides: Mapping[str, object] = RULE) -> TaskMaker:
    maker = task_maker(path, overrides)
    maker.folder.begin(maker.config)
    gate: Json = {"trained": trained, "always_high": figures(0.98, 16.0), "base": figures(0.8, 12.0, 0.5, 0.5)}
    maker.folder.keep_result("evaluate", StageResult(facts={"gate": gate, "rows": {}}))
    model = maker.folder.trained_model
    model.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "manifest.json"):
        (model / name).write_text(f"{name} of training")
    maker.registry = MemoryRegistry()
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
    lenient = {**RULE, "register_model.check_resize_rates": False}
    strict = evaluated(tmp_path / "run-1", trained=unknown)
    assert register_stage(strict.task("register")).facts["promoted"] is False
    maker = evaluated(tmp_path / "run-2", trained=unknown, overrides=lenient)
    assert register_stage(maker.task("register")).facts["promoted"] is True
