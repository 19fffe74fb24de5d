"""A tracker that keeps nothing, for `tracking.kind: none`.

Rule: it checks what it is given exactly as a real tracker does, so that turning tracking on can never reveal a fault.
"""

from collections.abc import Mapping
from pathlib import Path

from visionthink import metrics
from visionthink.tracking.tracker import RunSpec, RunStatus, require_artifact


class NullRun:
    """A run that forgets everything."""

    def log_params(self, params: Mapping[str, str]) -> None:
        """Keep nothing."""

    def log_metrics(self, values: Mapping[str, float], *, step: int | None = None) -> None:
        """Check the keys, keep nothing."""
        metrics.check(values)

    def log_artifact(self, path: Path, *, folder: str = "") -> None:
        """Check that the artifact exists, keep nothing."""
        require_artifact(path)

    def last_step(self, key: str) -> int | None:
        """Return None: nothing was kept."""
        metrics.check([key])
        return None

    def end(self, status: RunStatus) -> None:
        """Change nothing."""


class NullTracker:
    """A tracker whose runs forget everything."""

    def start_run(self, spec: RunSpec) -> NullRun:
        """Return a run that forgets everything."""
        return NullRun()

    def catch_up(self, run_id: str) -> None:
        """Record nothing: nothing was kept."""
