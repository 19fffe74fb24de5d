"""Kubeflow's artifacts and the run's folder: what a step takes from the one and leaves in the other.

Rule: a file lies in an artifact where it lies in the run's folder, and result.json comes last, because a stage with a
result counts as done. So a cached step is as good as one that ran, and an empty disk as good as a shared one.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import visionthink
from visionthink.errors import DataError
from visionthink.storage.atomic import atomic_open

_RESULT: Final = "result.json"


class Artifact(Protocol):
    """What is used of a Kubeflow artifact."""

    path: str
    metadata: dict[str, object]


def publish(result: Mapping[str, object], name: str, folder: Path, artifact: Artifact) -> None:
    """Copy what the stage made, and its result.json, into a Kubeflow artifact, each where it lies in the run's folder.

    What it did not make (an address, the model of an earlier step) is named in the artifact's metadata only.
    """
    target, root = Path(artifact.path), folder.resolve()
    target.mkdir(parents=True, exist_ok=True)
    artifact.metadata |= {"stage": name, "version": visionthink.__version__}
    for key, place in _places(result).items():
        relative = _own_place(place, name, root)
        if relative is None:
            artifact.metadata[key] = place
        else:
            _copy(root / relative, target / relative)
    if (root / name / _RESULT).exists():
        _copy(root / name / _RESULT, target / name / _RESULT)


def restore(artifact: Artifact, folder: Path) -> None:
    """Put what an earlier step published back into the run's folder, unless that stage is done there.

    Raises:
        DataError: the artifact holds no files.
    """
    source = Path(artifact.path)
    files = sorted((path for path in source.rglob("*") if path.is_file()), key=lambda path: path.name == _RESULT)
    if not files:
        raise DataError(f"the artifact at {source} is empty; run the pipeline again with caching switched off")
    results = [path for path in files if path.name == _RESULT]
    if results and all((folder / path.relative_to(source)).exists() for path in results):
        return
    for path in files:
        with path.open("rb") as old, atomic_open(folder / path.relative_to(source)) as new:
            shutil.copyfileobj(old, new)


def _places(result: Mapping[str, object]) -> dict[str, str]:
    artifacts = result.get("artifacts") or {}
    assert isinstance(artifacts, Mapping), artifacts
    return {str(key): str(place) for key, place in artifacts.items()}


def _own_place(place: str, name: str, root: Path) -> Path | None:
    """Where something that this stage made lies in the run's folder: in its own part, or at the top."""
    path = (root / place).resolve()
    if "://" in place or not path.is_relative_to(root):
        return None
    relative = path.relative_to(root)
    return relative if relative.parts[0] == name or len(relative.parts) == 1 else None


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
