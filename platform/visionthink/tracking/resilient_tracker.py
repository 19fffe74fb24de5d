"""A tracker that may fail without taking the stage with it.

Rule: tracking serves the training. When the tracker cannot be reached, at the start or later, the stage goes on, the
user is told once, and what was missed is kept in a file; it is sent when the tracker answers again, in this process or
in the next one of the same pipeline run. Who would rather stop sets `required`, and gets the first failure as an error.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from visionthink import metrics
from visionthink.errors import TrackingError
from visionthink.tracking.missed import MissedLog, missed_logs
from visionthink.tracking.model_registry import ModelRegistry, RegisteredModel, unregistered
from visionthink.tracking.tracker import RunSpec, RunStatus, TrackedRun, Tracker, require_artifact

# Each try may wait for a time limit, so the pauses between tries grow: a dead server costs a few tries an hour.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 600.0

Say = Callable[[str], None]


class TrackerRequiredError(TrackingError):
    """The tracker failed and the settings forbid to go on without it; the user can mend either."""

    exit_code: ClassVar[int] = 2


def _required(error: TrackingError) -> TrackerRequiredError:
    return TrackerRequiredError(
        f"{error}. Start it, or set tracking.required to false to go on without it", retryable=error.retryable
    )


class ResilientRun:
    """A run that goes on without its tracker."""

    def __init__(
        self,
        tracker: Tracker,
        missed: MissedLog,
        *,
        say: Say,
        required: bool,
        clock: Callable[[], float],
    ) -> None:
        """Record the run that `missed` is of."""
        self._tracker = tracker
        self._missed = missed
        self._say = say
        self._required = required
        self._clock = clock
        self._run: TrackedRun | None = None
        self._pause_s = 0.0
        self._retry_at_s = clock()
        self._refused = False
        self._attempt(lambda run: None)

    def log_params(self, params: Mapping[str, str]) -> None:
        """Send parameters, or note them."""
        if not self._attempt(lambda run: run.log_params(params)):
            self._missed.params(params)

    def log_metrics(self, values: Mapping[str, float], *, step: int | None = None) -> None:
        """Send numbers, or note them."""
        metrics.check(values)
        if not self._attempt(lambda run: run.log_metrics(values, step=step)):
            self._missed.metrics(values, step)

    def log_artifact(self, path: Path, *, folder: str = "") -> None:
        """Send an artifact, or note where it lies."""
        require_artifact(path)
        if not self._attempt(lambda run: run.log_artifact(path, folder=folder)):
            self._missed.artifact(path, folder)

    def last_step(self, key: str) -> int | None:
        """Return the highest step of a metric, None also when the tracker cannot be asked."""
        metrics.check([key])
        steps: list[int | None] = []
        self._attempt(lambda run: steps.append(run.last_step(key)))
        return steps[0] if steps else None

    def end(self, status: RunStatus) -> None:
        """Close the run; this is the last chance to send what was missed, so it does not wait for the pause."""
        self._retry_at_s = self._clock()
        if not self._attempt(lambda run: run.end(status)):
            self._missed.end(status)

    def _attempt(self, call: Callable[[TrackedRun], None]) -> bool:
        """Return whether the call is dealt with; open the run and send what it missed first, where there is need."""
        if self._run is None and self._clock() < self._retry_at_s:
            return False
        try:
            if self._run is None:
                self._run = self._opened()
        except TrackingError as error:
            self._give_up(error)
            return False
        try:
            call(self._run)
        except TrackingError as error:
            if error.retryable:
                self._give_up(error)
                return False
            self._tell_refusal(error)
        return True

    def _opened(self) -> TrackedRun:
        spec = self._missed.spec
        for other in missed_logs(self._missed.path.parent, spec.run_id):
            if other.spec.stage != spec.stage:
                _send(other, self._tracker.start_run(other.spec), self._say, has_ended=True)
        run = self._tracker.start_run(spec)
        if self._missed:
            _send(self._missed, run, self._say, has_ended=False)
        self._pause_s = 0.0
        return run

    def _tell_refusal(self, error: TrackingError) -> None:
        """Told once: the tracker answers, but this it will never take, so there is nothing to keep for later."""
        if self._required:
            raise _required(error) from error
        if not self._refused:
            self._say(f"tracking: {error}; this record is lost")
        self._refused = True

    def _give_up(self, error: TrackingError) -> None:
        if self._required:
            raise _required(error) from error
        self._run = None
        if not self._pause_s:
            self._say(f"tracking: {error}; going on without it, what it misses is kept in {self._missed.path}")
        self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self._retry_at_s = self._clock() + self._pause_s


def _send(missed: MissedLog, run: TrackedRun, say: Say, *, has_ended: bool) -> None:
    num_sent = missed.send(run, has_ended=has_ended)
    say(f"tracking: the tracker answers, {num_sent} missed records of stage {missed.spec.stage} were sent")


class ResilientTracker:
    """Wraps a tracker so that its failures are told, kept and survived, or raised when it is required."""

    def __init__(
        self,
        tracker: Tracker,
        *,
        missed_dir: Path,
        say: Say,
        required: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker = tracker
        self._missed_dir = missed_dir
        self._say = say
        self._required = required
        self._clock = clock

    def start_run(self, spec: RunSpec) -> TrackedRun:
        """Return a run that survives its tracker.

        Raises:
            TrackerRequiredError: the tracker is required and cannot be reached. The run raises it too, when the
                tracker fails later.
        """
        missed = MissedLog(self._missed_dir, spec)
        return ResilientRun(self._tracker, missed, say=self._say, required=self._required, clock=self._clock)

    def catch_up(self, run_id: str) -> None:
        """Send what the stages of a pipeline run missed; nobody may be working on them.

        Raises:
            TrackerRequiredError: the tracker is required and cannot be reached.
        """
        try:
            for missed in missed_logs(self._missed_dir, run_id):
                _send(missed, self._tracker.start_run(missed.spec), self._say, has_ended=True)
        except TrackingError as error:
            if self._required:
                raise _required(error) from error
            self._say(f"tracking: {error}; what it missed is still kept in {self._missed_dir}")


class ResilientRegistry:
    """Wraps a registry so that a stage which registers a model survives its failure."""

    def __init__(self, registry: ModelRegistry, *, say: Say, required: bool = False) -> None:
        self._registry = registry
        self._say = say
        self._required = required

    def register(
        self, name: str, source: Path | str, spec: RunSpec, *, tags: Mapping[str, str] | None = None
    ) -> RegisteredModel:
        """Return the registered version, or the model without a version when the registry cannot be reached."""
        try:
            return self._registry.register(name, source, spec, tags=tags)
        except TrackingError as error:
            self._survive(error)
            return unregistered(name, source, tags)

    def set_alias(self, model: RegisteredModel, alias: str) -> None:
        """Move an alias to this version, when it has one."""
        if model.version is None:
            return
        try:
            self._registry.set_alias(model, alias)
        except TrackingError as error:
            self._survive(error)

    def find(self, name: str, alias: str) -> RegisteredModel | None:
        """Return the version that an alias stands at, None when there is none.

        Raises:
            TrackingError: the registry cannot be reached; who asks what is in use must not read that as "nothing".
        """
        try:
            return self._registry.find(name, alias)
        except TrackingError as error:
            if self._required:
                raise _required(error) from error
            raise

    def fetch(self, model: RegisteredModel, target: Path) -> Path:
        """Return a folder with the model's files; nothing can stand in for them, so a failure is raised."""
        return Path(model.source) if model.version is None else self._registry.fetch(model, target)

    def _survive(self, error: TrackingError) -> None:
        if self._required:
            raise _required(error) from error
        self._say(f"registry: {error}; going on without it")
