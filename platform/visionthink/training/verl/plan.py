"""What one training by veRL needs besides the run's settings: places, machines, and veRL's own settings.

Rule: pure values that pass through JSON, because the process that makes a plan is not the one that carries it out.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from visionthink.errors import ConfigError

Override: TypeAlias = str | int | float | bool | tuple[str | int | float, ...] | None
"""A value of one of veRL's settings."""
Device: TypeAlias = Literal["cuda", "cpu"]

_PATHS: Final = ("train_rows", "val_rows", "base_model", "output", "forecast")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlPlan:
    """One training, ready to be carried out by `visionthink.training.verl.run.train`."""

    train_rows: Path
    """The prompts of every step, in order (`rows.write_rows`); every node can read it."""
    base_model: Path
    """Folder of the model to start from; every node can read it."""
    output: Path
    """Where checkpoints, steps and the trained model go. With several nodes, a folder that all of them share."""
    run_id: str
    """Names the run in the tracker."""
    forecast: Path | None = None
    """What the stage `label` forecast of calls, which goes beside the trained model; it may have left nothing there."""
    val_rows: Path | None = None
    """Prompts that veRL validates on; None validates on nothing, because the stage `evaluate` does."""
    num_nodes: int = 1
    gpus_per_node: int = 1
    device: Device = "cuda"
    """`cpu` runs the whole trainer without a GPU, slowly: for tests and dry runs."""
    tracking_uri: str | None = None
    """MLflow server that steps are told to; None leaves that to the caller."""
    checkpoint_store: str | None = None
    """Folder or s3:// address that checkpoints are copied to, and taken from by a node with an empty disk."""
    num_checkpoints: int = 2
    """Checkpoints that are kept on disk; the oldest go first."""
    overrides: Mapping[str, Override] = field(default_factory=dict)
    """veRL's own settings, by dotted name; they win over what the run's settings say. A name that veRL's files do not
    list begins with `+`."""

    def __post_init__(self) -> None:
        """Refuse counts with which nothing can run."""
        if min(self.num_nodes, self.gpus_per_node, self.num_checkpoints) < 1:
            raise ConfigError(
                f"a training needs at least one node, one GPU a node and one checkpoint, got {self.num_nodes}, "
                f"{self.gpus_per_node} and {self.num_checkpoints}"
            )

    @property
    def checkpoints(self) -> Path:
        """The `global_step_N` folders that veRL writes."""
        return self.output / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained model, once it is whole."""
        return self.output / "model"

    def to_json(self) -> str:
        """The plan as `from_json` reads it."""
        tree = asdict(self) | {name: _text(getattr(self, name)) for name in _PATHS}
        return json.dumps(tree | {"overrides": dict(self.overrides)}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "VerlPlan":
        """The plan that `to_json` wrote.

        Raises:
            ConfigError: it is none.
        """
        try:
            tree: dict[str, Any] = json.loads(text)
            unknown = tree.keys() - {one.name for one in fields(cls)}
            if unknown:
                raise ConfigError(f"a plan has no {', '.join(sorted(unknown))}; write it with VerlPlan.to_json")
            places = {name: Path(tree[name]) for name in _PATHS if tree.get(name) is not None}
            overrides = {name: _value(value) for name, value in tree.get("overrides", {}).items()}
            return cls(**{**tree, **places, "overrides": overrides})
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"this is no plan of a training ({error}); write it with VerlPlan.to_json") from error


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _value(value: Any) -> Override:
    return tuple(value) if isinstance(value, list) else value
