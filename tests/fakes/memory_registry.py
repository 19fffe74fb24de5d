"""A model registry in memory, which can be away; for tests of whatever registers a model or asks for the one in use."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from visionthink.errors import TrackingError
from visionthink.tracking import RegisteredModel, RunSpec


@dataclass
class MemoryRegistry:
    """Versions by run, aliases by name."""

    versions: dict[str, RegisteredModel] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    is_deaf: bool = False
    """Whether aliases do not move: it went away in between."""
    is_away: bool = False
    """Whether nobody answers who is asked what is in use."""

    def register(
        self, name: str, source: Path | str, spec: RunSpec, *, tags: Mapping[str, str] | None = None
    ) -> RegisteredModel:
        made = RegisteredModel(
            name=name,
            version=str(len(self.versions) + 1),
            source=str(source),
            tags=dict(tags or {}),
            run_id=spec.run_id,
        )
        return self.versions.setdefault(spec.run_id, made)

    def set_alias(self, model: RegisteredModel, alias: str) -> None:
        assert model.version is not None
        if not self.is_deaf:
            self.aliases[alias] = model.version

    def find(self, name: str, alias: str) -> RegisteredModel | None:
        if self.is_away:
            raise TrackingError("nobody answers", retryable=True)
        return next((made for made in self.versions.values() if made.version == self.aliases.get(alias)), None)

    def fetch(self, model: RegisteredModel, target: Path) -> Path:
        if not Path(model.source).is_dir():
            raise TrackingError(f"{model.source} is gone", retryable=False)
        return Path(shutil.copytree(model.source, target / "model"))
