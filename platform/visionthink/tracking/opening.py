"""The tracker and the registry that the settings ask for.

Rule: this is the one place that chooses an implementation; stages get Protocols.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from visionthink.tracking.mlflow_connection import MlflowConnection, MlflowSettings
from visionthink.tracking.mlflow_registry import MlflowRegistry
from visionthink.tracking.mlflow_tracker import MlflowTracker
from visionthink.tracking.model_registry import ModelRegistry, NullRegistry
from visionthink.tracking.null_tracker import NullTracker
from visionthink.tracking.resilient_tracker import ResilientRegistry, ResilientTracker
from visionthink.tracking.tracker import Tracker

TrackerKind = Literal["mlflow", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """What a stage records with."""

    tracker: Tracker
    registry: ModelRegistry


def open_tracking(
    kind: TrackerKind,
    *,
    env: Mapping[str, str],
    runs_dir: Path,
    missed_dir: Path | None = None,
    experiment: str = "visionthink",
    uri: str | None = None,
    required: bool = False,
    timeout_s: float = 10.0,
    say: Callable[[str], None] | None = None,
) -> Tracking:
    """Return tracker and registry; nothing is imported or reached before the first run starts.

    `uri` names the server, or else `env` does (MLFLOW_TRACKING_URI and its kin); without either, runs are kept under
    `runs_dir`. A request may take `timeout_s`. Failures are told through `say` (standard error by default) and
    survived, unless tracking is `required`; what is missed meanwhile is kept in `missed_dir`, by default below
    `runs_dir`.
    """
    match kind:
        case "none":
            return Tracking(tracker=NullTracker(), registry=NullRegistry())
        case "mlflow":
            settings = MlflowSettings.from_env(
                env, runs_dir=runs_dir, experiment=experiment, uri=uri, timeout_s=timeout_s
            )
            connection = MlflowConnection(settings)
            tell = say or _say_on_stderr
            return Tracking(
                tracker=ResilientTracker(
                    MlflowTracker(connection),
                    missed_dir=missed_dir or runs_dir / "missed",
                    say=tell,
                    required=required,
                ),
                registry=ResilientRegistry(MlflowRegistry(connection), say=tell, required=required),
            )
        case _:
            assert_never(kind)


def _say_on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
