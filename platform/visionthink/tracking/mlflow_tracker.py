"""Runs in MLflow: one parent for the pipeline, one child a stage, and below that one for a part of a stage.

Rule: a run is found by its tags, `visionthink.run_id` and `visionthink.stage`, before a new one is made. So a stage
that was killed goes on in the run of its first try, and what that run already holds is not logged again.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from visionthink import metrics
from visionthink.errors import TrackingError
from visionthink.network import without_secrets
from visionthink.tracking.mlflow_connection import MlflowConnection
from visionthink.tracking.tracker import RunSpec, RunStatus, require_artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run

PIPELINE_STAGE = "pipeline"
"""The stage name of the parent run; starting it gives the parent itself."""
RUN_ID_TAG = "visionthink.run_id"
STAGE_TAG = "visionthink.stage"

_PARENT_TAG = "mlflow.parentRunId"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,98}[A-Za-z0-9_]|[A-Za-z0-9_]")
_ODD = re.compile(r"[^A-Za-z0-9_-]+")
# Limits of one request and one value. Source: mlflow/utils/validation.py@3.17.2
_MAX_METRICS, _MAX_PARAMS, _MAX_PARAM_CHARS = 1000, 100, 6000

_Item = TypeVar("_Item")
_logger = logging.getLogger(__name__)


class MlflowRun:
    """One run of MLflow, new or adopted."""

    def __init__(
        self,
        connection: MlflowConnection,
        run: "Run",
        *,
        adopted: bool,
        parent_id: str | None,
        closes_parent: bool,
        clock: Callable[[], float],
    ) -> None:
        self.mlflow_run_id: str = run.info.run_id
        self._connection = connection
        self._adopted = adopted
        self._parent_id = parent_id
        self._closes_parent = closes_parent
        self._clock = clock
        self._params: dict[str, str] = dict(run.data.params)
        self._finals: dict[str, float] = dict(run.data.metrics)
        self._last_steps: dict[str, int | None] = {}
        self._ended = False

    def log_params(self, params: Mapping[str, str]) -> None:
        """Send the parameters that the run does not hold; a changed value is reported, not stored."""
        from mlflow.entities import Param

        wanted = {name: value[:_MAX_PARAM_CHARS] for name, value in params.items()}
        changed = sorted(name for name in wanted if self._params.get(name, wanted[name]) != wanted[name])
        if changed:
            _logger.warning("the adopted run keeps the first values of its parameters %s", ", ".join(changed))
        new = [Param(name, value) for name, value in wanted.items() if name not in self._params]
        for part in _parts(new, _MAX_PARAMS):
            self._log_batch(params=part)
        self._params = wanted | self._params

    def log_metrics(self, values: Mapping[str, float], *, step: int | None = None) -> None:
        """Send what the run does not hold yet, in one request."""
        from mlflow.entities import Metric

        metrics.check(values)
        fresh = self._fresh(values, step)
        now_ms = int(self._clock() * 1000)
        batch = [Metric(key, float(value), now_ms, step or 0) for key, value in fresh.items()]
        for part in _parts(batch, _MAX_METRICS):
            self._log_batch(metrics=part)
        if step is None:
            self._finals |= fresh
        else:
            self._last_steps |= dict.fromkeys(fresh, step)

    def _fresh(self, values: Mapping[str, float], step: int | None) -> dict[str, float]:
        if step is None:
            return {key: value for key, value in values.items() if self._finals.get(key) != value}
        last = {key: self.last_step(key) for key in values}
        return {key: value for key, value in values.items() if (held := last[key]) is None or held < step}

    def log_artifact(self, path: Path, *, folder: str = "") -> None:
        """Copy a file into `folder`, or a folder under its own name; what is there already is replaced."""
        require_artifact(path)
        run_id = self.mlflow_run_id
        if path.is_dir():
            target = f"{folder}/{path.name}".strip("/")
            self._call(f"log folder {path.name}", lambda client: client.log_artifacts(run_id, str(path), target))
        else:
            self._call(f"log {path.name}", lambda client: client.log_artifact(run_id, str(path), folder or None))

    def last_step(self, key: str) -> int | None:
        """Return the highest step of a metric; an adopted run asks the server once for each metric."""
        metrics.check([key])
        if self._adopted and key not in self._last_steps:
            history = self._call("read metrics", lambda client: client.get_metric_history(self.mlflow_run_id, key))
            self._last_steps[key] = max((metric.step for metric in history), default=None)
        return self._last_steps.get(key)

    def end(self, status: RunStatus) -> None:
        """Close the run; the pipeline's run ends with its last stage, or with the first that does not end well."""
        if self._ended:
            return
        self._call("end the run", lambda client: client.set_terminated(self.mlflow_run_id, status.value))
        parent_id = self._parent_id
        if parent_id and (self._closes_parent or status is not RunStatus.FINISHED):
            self._call("end the pipeline's run", lambda client: client.set_terminated(parent_id, status.value))
        self._ended = True

    def _log_batch(self, *, params: "Sequence[Param]" = (), metrics: "Sequence[Metric]" = ()) -> None:
        run_id = self.mlflow_run_id
        action = "log metrics" if metrics else "log parameters"
        self._call(action, lambda client: client.log_batch(run_id, metrics=metrics, params=params))

    def _call(self, action: str, request: "Callable[[MlflowClient], _Item]") -> _Item:
        return self._connection.call(action, request)


class MlflowTracker:
    """Starts runs in the experiment of the settings, which is made when it does not exist."""

    def __init__(self, connection: MlflowConnection, *, clock: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._clock = clock

    def start_run(self, spec: RunSpec) -> MlflowRun:
        """Adopt or create the pipeline's run and, below it, the run of the stage.

        Raises:
            TrackingError: the server cannot be reached or refuses.
        """
        return self._connection.call(f"start run {spec.stage!r}", lambda client: self._start(client, spec))

    def catch_up(self, run_id: str) -> None:
        """Do nothing: what cannot be recorded at once is an error here, and kept by nobody."""

    def _start(self, client: "MlflowClient", spec: RunSpec) -> MlflowRun:
        experiment_id = self._experiment_id(client)
        if spec.below is not None:
            return self._started_below(client, experiment_id, spec, spec.below)
        given_parent = self._connection.settings.parent_run_id
        if spec.stage == PIPELINE_STAGE:
            run, adopted = _adopt_or_create(client, experiment_id, spec, parent_id=given_parent)
            return self._opened(run, adopted=adopted, parent_id=None)
        if given_parent is not None:
            # A parent that somebody else opened is somebody else's to close.
            run, adopted = _adopt_or_create(client, experiment_id, spec, parent_id=given_parent)
            return self._opened(run, adopted=adopted, parent_id=None)
        parent, _ = _adopt_or_create(
            client, experiment_id, RunSpec(run_id=spec.run_id, stage=PIPELINE_STAGE), parent_id=None
        )
        run, adopted = _adopt_or_create(client, experiment_id, spec, parent_id=parent.info.run_id)
        # A stage that is run again after the pipeline ended well leaves it so.
        closes = spec.closes_pipeline or parent.info.status == RunStatus.FINISHED
        return self._opened(run, adopted=adopted, parent_id=parent.info.run_id, closes_parent=closes)

    def _started_below(self, client: "MlflowClient", experiment_id: str, spec: RunSpec, above: str) -> MlflowRun:
        """The run of a part of the stage `above`. Parts follow each other: one that seems to run was killed."""
        stage = RunSpec(run_id=spec.run_id, stage=above)
        found = _find(client, experiment_id, stage)
        parent_id = self._start(client, stage).mlflow_run_id if found is None else found.info.run_id
        run, adopted = _adopt_or_create(client, experiment_id, spec, parent_id=parent_id)
        query = f"tags.`{_PARENT_TAG}` = '{parent_id}' and attributes.status = 'RUNNING'"
        for other in client.search_runs([experiment_id], query):
            if other.info.run_id != run.info.run_id:
                client.set_terminated(other.info.run_id, RunStatus.KILLED.value)
        return self._opened(run, adopted=adopted, parent_id=None)

    def _opened(self, run: "Run", *, adopted: bool, parent_id: str | None, closes_parent: bool = False) -> MlflowRun:
        return MlflowRun(
            self._connection,
            run,
            adopted=adopted,
            parent_id=parent_id,
            closes_parent=closes_parent,
            clock=self._clock,
        )

    def _experiment_id(self, client: "MlflowClient") -> str:
        from mlflow.exceptions import MlflowException

        settings = self._connection.settings
        if settings.experiment_id:
            return settings.experiment_id
        found = client.get_experiment_by_name(settings.experiment)
        if found is None:
            root = settings.artifact_root
            try:
                location = None if root is None else (root / _folder_name(settings.experiment)).as_uri()
                return str(client.create_experiment(settings.experiment, artifact_location=location))
            except MlflowException as error:
                # Another process was faster; anything else goes on.
                found = client.get_experiment_by_name(settings.experiment)
                if found is None:
                    raise error
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"experiment {settings.experiment!r} was deleted in MLflow; restore it (MLFLOW_TRACKING_URI="
                f"'{without_secrets(settings.tracking_uri)}' mlflow experiments restore -x {found.experiment_id}) or "
                "choose another name with tracking.experiment",
                retryable=False,
            )
        return str(found.experiment_id)


def _adopt_or_create(
    client: "MlflowClient", experiment_id: str, spec: RunSpec, *, parent_id: str | None
) -> "tuple[Run, bool]":
    """Return the run of this stage, running again, and whether it was there before."""
    if found := _find(client, experiment_id, spec):
        client.update_run(found.info.run_id, status="RUNNING")
        return found, True
    tags = dict(spec.tags) | _names(spec)
    if parent_id:
        tags[_PARENT_TAG] = parent_id
    name = spec.run_id if spec.stage == PIPELINE_STAGE else spec.stage
    return client.create_run(experiment_id, tags=tags, run_name=name), False


def _find(client: "MlflowClient", experiment_id: str, spec: RunSpec) -> "Run | None":
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in _names(spec).items())
    found = client.search_runs([experiment_id], query, order_by=["attributes.start_time ASC"], max_results=1)
    return found[0] if found else None


def _names(spec: RunSpec) -> dict[str, str]:
    return {RUN_ID_TAG: spec.run_id, STAGE_TAG: spec.stage}


def _folder_name(experiment: str) -> str:
    """The experiment's name as the name of one folder, for any text and without a clash."""
    if _PLAIN_NAME.fullmatch(experiment):
        return experiment
    return f"{_ODD.sub('-', experiment)[:80]}-{hashlib.blake2b(experiment.encode(), digest_size=4).hexdigest()}"


def _parts(items: list[_Item], size: int) -> Iterator[list[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
