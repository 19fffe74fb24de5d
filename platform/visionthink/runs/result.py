"""What a stage hands on: numbers, files, and the facts that a summary is made of.

Rule: it holds what the work came to and never when or how fast it was done, but for metrics that are times by name. So
a stage that was killed and resumed leaves the same result as one that was not. Paths are kept relative to the run, so
that a run's folder may be moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from visionthink.core.json_value import Json
from visionthink.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """The end of a stage that went well."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    """Final numbers, by key of `visionthink.metrics`."""
    artifacts: Mapping[str, Path] = field(default_factory=dict)
    """Files and folders within the run's folder."""
    confusion: tuple[tuple[int, int], ...] | None = None
    """Rows: needed, not needed. Columns: asked, answered directly."""
    html: Path | None = None
    """A page to show, within the run's folder."""
    facts: Mapping[str, Json] = field(default_factory=dict)
    """What is neither number nor file: answers, decisions, figures by family."""

    @property
    def is_owed(self) -> bool:
        """Whether the stage is to be run once more: a registry that was away does not know what it did."""
        return self.facts.get("owed") is True

    def to_dict(self, root: Path) -> dict[str, Json]:
        """The result as JSON, paths relative to the run's folder `root`."""
        return {
            "metrics": dict(self.metrics),
            "artifacts": {name: str(path.relative_to(root)) for name, path in self.artifacts.items()},
            "confusion": None if self.confusion is None else [list(row) for row in self.confusion],
            "html": None if self.html is None else str(self.html.relative_to(root)),
            "facts": dict(self.facts),
        }

    @classmethod
    def from_dict(cls, value: object, root: Path) -> "StageResult":
        """Read what `to_dict` made.

        Raises:
            DataError: it is something else.
        """
        match value:
            case {
                "metrics": dict() as metrics,
                "artifacts": dict() as artifacts,
                "confusion": list() | None as confusion,
                "html": str() | None as html,
                "facts": dict() as facts,
            }:
                return cls(
                    metrics={str(key): float(number) for key, number in metrics.items()},
                    artifacts={str(name): root / str(path) for name, path in artifacts.items()},
                    confusion=None if confusion is None else tuple((int(row[0]), int(row[1])) for row in confusion),
                    html=None if html is None else root / html,
                    facts=facts,
                )
            case _:
                raise DataError(f"{root}: a result.json is not one of this version; start a fresh run")
