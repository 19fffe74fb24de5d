"""What a stage is given.

Rule: a stage reads its settings and folder from here, records through `run`, tells through `say`, and returns a
StageResult. It never looks at the environment, opens a tracker or marks itself as done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from visionthink.config import RunConfig
from visionthink.engines import Engine, open_named
from visionthink.judges import Judge, RuleJudge
from visionthink.runs.folder import RunFolder, Stage
from visionthink.runs.progress import Progress
from visionthink.tracking.model_registry import ModelRegistry
from visionthink.tracking.tracker import RunSpec, TrackedRun, Tracker


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """One try of one stage of one run."""

    stage: Stage
    config: RunConfig
    folder: RunFolder
    spec: RunSpec
    """The stage's run in the tracker."""
    run: TrackedRun
    tracker: Tracker
    """Opens the runs of parts of the stage."""
    registry: ModelRegistry
    say: Callable[[str], None]
    """Tells the user a line."""
    clock: Callable[[], float]
    """Seconds that only grow, for rates and latencies."""
    open_judge: Callable[[], Judge] = RuleJudge
    """A judge for one event loop; whoever opens it closes it."""
    open_engine: Callable[[str, Path], Engine] = open_named
    """The engine that settings name (`model.engine`) for the model in a folder; whoever opens it closes it."""

    @property
    def dir(self) -> Path:
        """Where the stage keeps its files."""
        return self.folder.stage_dir(self.stage)

    def progress(self, total: int, *, unit: str, done: int = 0, title: str = "") -> Progress:
        """Lines on how far the stage is; `title` names a part of it."""
        name = f"{self.stage} {title}".strip()
        return Progress(name, total, unit=unit, say=self.say, done=done, clock=self.clock)
