"""What every model registry promises; MLflow's over a sqlite file and over HTTP."""

import shutil
import uuid
from pathlib import Path

import pytest

from visionthink.errors import DataError, TrackingError
from visionthink.tracking import (
    MlflowConnection,
    MlflowRegistry,
    MlflowSettings,
    ModelRegistry,
    NullRegistry,
    RegisteredModel,
    ResilientRegistry,
    RunSpec,
)

FILES = {"config.json": b"{}", "deep/weights.safetensors": bytes(range(256)) * 20}


def spec(run_id: str) -> RunSpec:
    return RunSpec(run_id=run_id, stage="register")


@pytest.fixture(params=["sqlite", "server", "resilient over sqlite"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> ModelRegistry:
    experiment = f"test-{uuid.uuid4().hex[:8]}"
    if request.param == "server":
        uri, root = request.getfixturevalue("server_uri"), None
    else:
        uri = f"sqlite:///{shutil.copy(request.getfixturevalue('empty_database'), tmp_path)}"
        root = tmp_path / "mlartifacts"
    made = MlflowRegistry(MlflowConnection(MlflowSettings(tracking_uri=uri, experiment=experiment, artifact_root=root)))
    return ResilientRegistry(made, say=pytest.fail) if request.param.startswith("resilient") else made


@pytest.fixture
def name() -> str:
    """A model name of this test alone: the server is shared."""
    return f"model-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, data in FILES.items():
        file = tmp_path / "trained" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return tmp_path / "trained"


def read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_registry_gives_a_folder_back_by_its_alias(
    registry: ModelRegistry, name: str, folder: Path, tmp_path: Path
) -> None:
    made = registry.register(name, folder, spec("run-1"), tags={"accuracy": "0.97"})
    registry.set_alias(made, "challenger")
    found = registry.find(name, "challenger")
    assert found is not None
    assert (found.version, found.source) == (made.version, made.source)
    assert found.tags["accuracy"] == "0.97"
    shutil.rmtree(folder)
    assert read(registry.fetch(found, tmp_path / "copy")) == FILES


def test_registry_registers_a_run_once(registry: ModelRegistry, name: str, folder: Path) -> None:
    first = registry.register(name, folder, spec("run-1"))
    assert registry.register(name, folder, spec("run-1")).version == first.version == "1"
    assert registry.register(name, folder, spec("run-2")).version == "2"


def test_registry_moves_an_alias(registry: ModelRegistry, name: str, folder: Path) -> None:
    for run_id in ("run-1", "run-2"):
        registry.set_alias(registry.register(name, folder, spec(run_id)), "champion")
    found = registry.find(name, "champion")
    assert found is not None and found.version == "2"


def test_registry_finds_nothing_where_nothing_is(registry: ModelRegistry, name: str, folder: Path) -> None:
    assert registry.find(name, "champion") is None
    registry.register(name, folder, spec("run-1"))
    assert registry.find(name, "champion") is None


def test_registry_records_a_uri_as_it_is(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    uri = "s3://bucket/models/run-1"
    made = registry.register(name, uri, spec("run-1"))
    assert made.source == uri
    with pytest.raises(TrackingError, match=r"visionthink\.storage"):
        registry.fetch(made, tmp_path / "copy")


def test_registry_refuses_a_folder_that_is_not_there(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        registry.register(name, tmp_path / "gone", spec("run-1"))
    assert registry.find(name, "champion") is None


def test_null_registry_points_at_the_folder_itself(folder: Path, tmp_path: Path) -> None:
    registry = NullRegistry()
    model = registry.register("m", folder, spec("run-1"), tags={"a": "b"})
    registry.set_alias(model, "champion")
    assert model == RegisteredModel(name="m", version=None, source=str(folder), tags={"a": "b"})
    assert registry.find("m", "champion") is None
    assert read(registry.fetch(model, tmp_path / "copy")) == FILES
    with pytest.raises(DataError):
        registry.register("m", tmp_path / "gone", spec("run-1"))
