"""The model registry of MLflow, for plain folders of model files.

Rule: no mlflow flavours. A version's source is `runs:/<run>/model`, the artifact folder of the run that registered it,
because this is the one local source that a server accepts as well as a database does; or a URI that somebody else
stores (S3), recorded as it is.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from visionthink.errors import TrackingError
from visionthink.tracking.mlflow_connection import MlflowConnection
from visionthink.tracking.mlflow_tracker import RUN_ID_TAG, MlflowTracker
from visionthink.tracking.model_registry import RegisteredModel
from visionthink.tracking.tracker import RunSpec, require_artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_FOLDER = "model"
_RUNS = "runs:/"


class MlflowRegistry:
    """Registers models beside the runs of an MlflowTracker."""

    def __init__(self, connection: MlflowConnection) -> None:
        self._connection = connection

    def register(
        self, name: str, source: Path | str, spec: RunSpec, *, tags: Mapping[str, str] | None = None
    ) -> RegisteredModel:
        """Return the version that this pipeline run made of `name`, made now unless it exists.

        Raises:
            DataError: the folder does not exist.
            TrackingError: the server cannot be reached or refuses.
        """
        if isinstance(source, Path):
            require_artifact(source)
        earlier = self._connection.call(f"search model {name!r}", lambda client: _of_run(client, name, spec.run_id))
        if earlier is not None:
            return earlier
        run = MlflowTracker(self._connection).start_run(spec)
        uri = str(source)
        if isinstance(source, Path):
            uri = f"{_RUNS}{run.mlflow_run_id}/{_FOLDER}"
            self._connection.call(
                f"store model {name!r}",
                lambda client: client.log_artifacts(run.mlflow_run_id, str(source), _FOLDER),
            )
        all_tags = dict(tags or {}) | {RUN_ID_TAG: spec.run_id}
        return self._connection.call(
            f"register model {name!r}", lambda client: _create(client, name, uri, run.mlflow_run_id, all_tags)
        )

    def set_alias(self, model: RegisteredModel, alias: str) -> None:
        """Move an alias to this version."""
        version = model.version
        if version is None:
            raise TrackingError(f"model {model.name!r} has no version, so no alias can point at it", retryable=False)
        self._connection.call(
            f"set alias {alias!r} of model {model.name!r}",
            lambda client: client.set_registered_model_alias(model.name, alias, version),
        )

    def find(self, name: str, alias: str) -> RegisteredModel | None:
        """Return the version that an alias stands at, None when model or alias do not exist."""
        return self._connection.call(f"look up model {name}@{alias}", lambda client: _at_alias(client, name, alias))

    def get(self, name: str, version: str) -> RegisteredModel | None:
        """Return a version by its number, None when model or version do not exist."""
        return self._connection.call(
            f"look up version {version} of {name}", lambda client: _numbered(client, name, version)
        )

    def fetch(self, model: RegisteredModel, target: Path) -> Path:
        """Copy the model's files below `target` and return their folder.

        Raises:
            TrackingError: the source is neither an artifact of a run nor a local folder.
        """
        target.mkdir(parents=True, exist_ok=True)
        if model.source.startswith(_RUNS):
            run_id, _, path = model.source.removeprefix(_RUNS).partition("/")
            return Path(
                self._connection.call(
                    f"fetch model {model.name!r}",
                    lambda client: client.download_artifacts(run_id, path, str(target)),
                )
            )
        if "://" not in model.source:
            return Path(shutil.copytree(model.source, target / _FOLDER, dirs_exist_ok=True))
        raise TrackingError(
            f"{model.source} is not stored by MLflow; read it with visionthink.storage", retryable=False
        )


def _of_run(client: "MlflowClient", name: str, run_id: str) -> RegisteredModel | None:
    found = client.search_model_versions(f"name = '{name}' and tags.`{RUN_ID_TAG}` = '{run_id}'")
    oldest = min(found, key=lambda version: int(version.version), default=None)
    return None if oldest is None else _record(oldest)


def _create(client: "MlflowClient", name: str, uri: str, run_id: str, tags: dict[str, str]) -> RegisteredModel:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(name, source=uri, run_id=run_id, tags=tags, await_creation_for=0)
    return _record(version)


def _at_alias(client: "MlflowClient", name: str, alias: str) -> RegisteredModel | None:
    from mlflow.exceptions import MlflowException

    try:
        return _record(client.get_model_version_by_alias(name, alias))
    except MlflowException as error:
        # A missing alias is reported as a bad parameter, a missing model as a missing resource.
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def _numbered(client: "MlflowClient", name: str, version: str) -> RegisteredModel | None:
    from mlflow.exceptions import MlflowException

    try:
        return _record(client.get_model_version(name, version))
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def _record(version: "ModelVersion") -> RegisteredModel:
    tags = dict(version.tags)
    return RegisteredModel(
        name=version.name,
        version=str(version.version),
        source=version.source or "",
        tags=tags,
        run_id=tags.get(RUN_ID_TAG),
    )
