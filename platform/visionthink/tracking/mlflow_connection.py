"""The one door to the mlflow library: settings from the environment, bounded waiting, one kind of error.

Rules: mlflow is imported on the first call, never before (it takes seconds). The process's environment and mlflow's
global state stay the user's: time limits are set around a call and taken back after it. Whatever comes out of the
library leaves here as a TrackingError, because a failing tracker must never take a training with it; this is why
`MlflowConnection.call` may catch Exception.
"""

import logging
import math
import os
import threading
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from visionthink.errors import TrackingError
from visionthink.network import without_secrets
from visionthink.tracking.mlflow_database import ARTIFACTS, database_of, ready_database, sqlite_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

_Result = TypeVar("_Result")

# What mlflow answers when the request itself is wrong: sending it again can't help.
_PERMANENT = frozenset(
    {
        "BAD_REQUEST",
        "ENDPOINT_NOT_FOUND",
        "FEATURE_DISABLED",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "NOT_IMPLEMENTED",
        "PERMISSION_DENIED",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_DOES_NOT_EXIST",
        "UNAUTHENTICATED",
    }
)
# mlflow reads the environment at each request, so the lock makes our values and the request one step.
_ENVIRONMENT_LOCK = threading.RLock()


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowSettings:
    """Where runs are recorded and how long one request may take."""

    tracking_uri: str
    experiment: str
    experiment_id: str | None = None
    """An experiment made by somebody else; wins over the name."""
    parent_run_id: str | None = None
    """A run made by somebody else (Kubeflow's MLflow plugin) under which ours are hung."""
    artifact_root: Path | None = None
    """Folder for artifacts of a new experiment: beside a database; None leaves the choice to the server."""
    request_timeout_s: int = 10
    """Whole seconds, because mlflow takes no others."""
    max_retries: int = 2

    @classmethod
    def from_env(
        cls,
        env: Mapping[str, str],
        *,
        runs_dir: Path,
        experiment: str,
        uri: str | None = None,
        timeout_s: float = 10.0,
    ) -> "MlflowSettings":
        """Return the settings: `uri`, else what MLFLOW_TRACKING_URI says, else a sqlite file under `runs_dir`."""
        uri = uri or env.get("MLFLOW_TRACKING_URI") or sqlite_uri(runs_dir.absolute() / "mlflow.db")
        database = database_of(uri)
        return cls(
            tracking_uri=uri,
            experiment=env.get("MLFLOW_EXPERIMENT_NAME") or experiment,
            experiment_id=env.get("MLFLOW_EXPERIMENT_ID") or None,
            parent_run_id=env.get("MLFLOW_RUN_ID") or None,
            artifact_root=None if database is None else database.with_name(ARTIFACTS),
            request_timeout_s=max(1, math.ceil(timeout_s)),
        )


class MlflowConnection:
    """A client of one tracking server or database, made on the first call."""

    def __init__(self, settings: MlflowSettings) -> None:
        self.settings = settings
        self._client: MlflowClient | None = None

    def call(self, action: str, request: Callable[["MlflowClient"], _Result]) -> _Result:
        """Return what `request` returns; `action` completes the sentence "cannot ...".

        Raises:
            TrackingError: whatever went wrong, with the library's exception as its cause.
        """
        try:
            with _environment(self._limits()):
                return request(self._connected())
        except TrackingError:
            raise
        except Exception as error:
            raise self._translated(action, error) from error

    def _connected(self) -> "MlflowClient":
        if self._client is None:
            from mlflow import MlflowClient

            for noisy in ("mlflow", "alembic"):
                logging.getLogger(noisy).setLevel(logging.WARNING)
            uri = self.settings.tracking_uri
            database = database_of(uri)
            if database is not None:
                ready_database(database)
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        return self._client

    def _limits(self) -> dict[str, str]:
        """What the user set in the environment wins over our limits."""
        limits = {
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(self.settings.request_timeout_s),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(self.settings.max_retries),
            "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        }
        return {name: value for name, value in limits.items() if name not in os.environ}

    def _translated(self, action: str, error: Exception) -> TrackingError:
        code = getattr(error, "error_code", None)
        where = without_secrets(self.settings.tracking_uri)
        return TrackingError(f"cannot {action} at {where}: {self._reason(error)}", retryable=code not in _PERMANENT)

    def _reason(self, error: Exception) -> str:
        """Say in words what mlflow wraps in the text of urllib3's exceptions; the rest by its first line."""
        text = str(error).strip() or type(error).__name__
        if "timed out" in text:
            return f"no answer within {self._limit_s()} s"
        if "NameResolutionError" in text:
            return "no machine has that name"
        if "NewConnectionError" in text or "Connection refused" in text:
            return "nothing answers there (is the server running?)"
        if "Connection aborted" in text or "Connection reset" in text:
            return "the connection broke off"
        return without_secrets(text.splitlines()[0])[:300]

    def _limit_s(self) -> str:
        return os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", str(self.settings.request_timeout_s))


@contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None]:
    """The library's own deprecations are nothing that our caller could mend, so they stay in here too."""
    with _ENVIRONMENT_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ.update(values)
        try:
            yield
        finally:
            for name in values:
                os.environ.pop(name, None)
