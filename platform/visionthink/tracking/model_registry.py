"""Named, numbered models with movable aliases.

Rule: a version belongs to the pipeline run that made it; registering the same run again gives the same version back. An
alias (`champion`, `challenger`) is the only thing that moves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from visionthink.tracking.tracker import RunSpec, require_artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A version of a model and where its files are."""

    name: str
    version: str | None
    """None: the registry keeps nothing, or could not be reached; the files are at `source` all the same."""
    source: str
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None
    """The pipeline run that made the version; None where the registry does not tell."""


class ModelRegistry(Protocol):
    """Where models are registered and looked up."""

    def register(
        self, name: str, source: Path | str, spec: RunSpec, *, tags: Mapping[str, str] | None = None
    ) -> RegisteredModel:
        """Return the version of `name` that `spec`'s pipeline run made, made now unless it exists.

        A folder (Path) is copied into the registry's own storage; a URI (str) is recorded as it is.

        Raises:
            DataError: the folder does not exist.
            TrackingError: the registry cannot be reached or refuses.
        """

    def set_alias(self, model: RegisteredModel, alias: str) -> None:
        """Move an alias to this version."""

    def find(self, name: str, alias: str) -> RegisteredModel | None:
        """Return the version that an alias stands at, None when there is none.

        Raises:
            TrackingError: the registry cannot be reached; that is no word on what is in use.
        """

    def fetch(self, model: RegisteredModel, target: Path) -> Path:
        """Return a folder under `target` with the model's files."""


class NullRegistry:
    """A registry that keeps nothing: a registered model is the folder it came from."""

    def register(
        self, name: str, source: Path | str, spec: RunSpec, *, tags: Mapping[str, str] | None = None
    ) -> RegisteredModel:
        """Return a model without a version."""
        return unregistered(name, source, tags)

    def set_alias(self, model: RegisteredModel, alias: str) -> None:
        """Change nothing."""

    def find(self, name: str, alias: str) -> RegisteredModel | None:
        """Return None: nothing was kept."""
        return None

    def fetch(self, model: RegisteredModel, target: Path) -> Path:
        """Return the folder that was registered."""
        return Path(model.source)


def unregistered(name: str, source: Path | str, tags: Mapping[str, str] | None) -> RegisteredModel:
    """Return a model that stands in no registry, its files where they were made.

    Raises:
        DataError: `source` is a folder that does not exist.
    """
    if isinstance(source, Path):
        require_artifact(source)
    return RegisteredModel(name=name, version=None, source=str(source), tags=dict(tags or {}))
