"""The versions of a real MLflow as a rollout sees them."""

from pathlib import Path

import pytest

from visionthink.errors import DataError
from visionthink.rollout.registry import MlflowVersions
from visionthink.tracking import MlflowConnection, MlflowRegistry, MlflowSettings, RunSpec


def test_versions_are_found_by_number_and_the_alias_moves(tmp_path: Path) -> None:
    settings = MlflowSettings(
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", experiment="e", artifact_root=tmp_path / "artifacts"
    )
    registry = MlflowRegistry(MlflowConnection(settings))
    versions = MlflowVersions(registry=registry, name="m", alias="champion")
    assert versions.current() is None
    with pytest.raises(DataError, match="no version 1 of m"):
        versions.served("1", "r")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    sources: tuple[str | Path, ...] = ("s3://models/m/1", "s3://models/m/2", folder)
    for number, source in enumerate(sources, start=1):
        registry.register("m", source, RunSpec(run_id=f"run-{number}", stage="register"))
    found = versions.served("2", "r")
    assert (found.name, found.uri, found.number) == ("v2", "s3://models/m/2", "2")
    with pytest.raises(DataError, match="where no pod can fetch it; register it with"):
        versions.served("3", "r")
    versions.move("2")
    versions.move("2")
    assert versions.current() == "2"
