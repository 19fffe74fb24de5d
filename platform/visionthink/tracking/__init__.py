"""Experiment tracking and the model registry.

Rule of this folder: MLflow is known in the `mlflow_*` files only; everybody else sees the Protocols `Tracker`,
`TrackedRun` and `ModelRegistry`.
"""

from visionthink.tracking.artifact import keep_bytes, keep_json, keep_text
from visionthink.tracking.mlflow_connection import MlflowConnection, MlflowSettings
from visionthink.tracking.mlflow_registry import MlflowRegistry
from visionthink.tracking.mlflow_tracker import PIPELINE_STAGE, MlflowTracker
from visionthink.tracking.model_registry import ModelRegistry, NullRegistry, RegisteredModel
from visionthink.tracking.null_tracker import NullTracker
from visionthink.tracking.opening import TrackerKind, Tracking, open_tracking
from visionthink.tracking.resilient_tracker import ResilientRegistry, ResilientTracker, TrackerRequiredError
from visionthink.tracking.tracker import RunSpec, RunStatus, TrackedRun, Tracker, flatten, tracked

__all__ = [
    "PIPELINE_STAGE",
    "MlflowConnection",
    "MlflowRegistry",
    "MlflowSettings",
    "MlflowTracker",
    "ModelRegistry",
    "NullRegistry",
    "NullTracker",
    "RegisteredModel",
    "ResilientRegistry",
    "ResilientTracker",
    "RunSpec",
    "RunStatus",
    "TrackedRun",
    "Tracker",
    "TrackerKind",
    "TrackerRequiredError",
    "Tracking",
    "flatten",
    "keep_bytes",
    "keep_json",
    "keep_text",
    "open_tracking",
    "tracked",
]
