"""A tracker in memory, for tests of whatever records something; it passes the contract test of the real ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from visionthink import metrics
from visionthink.errors import TrackingError
from visionthink.tracking import RunSpec, RunStatus
from visionthink.tracking.tracker import require_artifact


@dataclass
class MemoryRun:
    """What one run holds."""

    spec: RunSpec
    owner: "MemoryTracker"
    params: dict[str, str] = field(default_factory=dict)
    history: dict[str, dict[int, float]] = field(default_factory=dict)
    finals: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, Path] = field(default_factory=dict)
    status: RunStatus | None = None

    def log_params(self, params: Mapping[str, str]) -> None:
        self.owner.answer()
        self.params = dict(params) | self.params

    def log_metrics(self, values: Mapping[str, float], *, step: int | None = None) -> None:
        metrics.check(values)
        self.owner.answer()
        for key, value in values.items():
            if step is None:
                self.finals[key] = value
            else:
                self.history.setdefault(key, {}).setdefault(step, value)

    def log_artifact(self, path: Path, *, folder: str = "") -> None:
        require_artifact(path)
        self.owner.answer()
        self.artifacts[f"{folder}/{path.name}".strip("/")] = path

    def last_step(self, key: str) -> int | None:
        metrics.check([key])
        self.owner.answer()
        return max(self.history.get(key, {}), default=None)

    def end(self, status: RunStatus) -> None:
        self.owner.answer()
        self.status = self.status or status


@dataclass
class MemoryTracker:
    """Runs by (run id, stage). `failure`, when set, is raised by every call that would reach a server."""

    runs: dict[tuple[str, str], MemoryRun] = field(default_factory=dict)
    failure: TrackingError | None = None
    num_calls: int = 0

    def start_run(self, spec: RunSpec) -> MemoryRun:
        self.answer()
        run = self.runs.setdefault((spec.run_id, spec.stage), MemoryRun(spec=spec, owner=self))
        run.status = None
        return run

    def catch_up(self, run_id: str) -> None:
        self.answer()

    def answer(self) -> None:
        self.num_calls += 1
        if self.failure:
            raise self.failure
