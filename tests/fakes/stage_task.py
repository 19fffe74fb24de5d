"""A stage's task whose tracker is in memory and whose lines are kept: a stage without what is around it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.fakes.memory_tracker import MemoryRun, MemoryTracker

from visionthink.config import RunConfig, override_config
from visionthink.judges import Judge, RuleJudge
from visionthink.runs import RunFolder, Stage, StageTask
from visionthink.tracking import ModelRegistry, NullRegistry, RunSpec

TINY: Mapping[str, object] = {
    "data.families": ["color", "mark"],
    "data.held_out_families": ["suffix"],
    "model.threads": 1,
    "label.num_samples": 12,
    "label.num_rollouts": 2,
    "label.min_gap": 2,
    "label.shard_size": 5,
    "train.num_steps": 4,
    "train.num_prompts": 3,
    "train.group_size": 2,
    "train.checkpoint_every": 2,
    "evaluate.num_samples": 6,
    "evaluate.num_held_out_samples": 2,
    "evaluate.shard_size": 4,
    "evaluate.num_latency_samples": 2,
    "evaluate.num_examples": 2,
    "evaluate.num_bootstraps": 20,
}
"""Settings with which a whole run takes seconds."""


def tiny_config(overrides: Mapping[str, object] | None = None) -> RunConfig:
    return override_config(RunConfig(), {**TINY, **(overrides or {})})


@dataclass
class TaskMaker:
    """Makes tasks of one run."""

    folder: RunFolder
    config: RunConfig
    tracker: MemoryTracker = field(default_factory=MemoryTracker)
    registry: ModelRegistry = field(default_factory=NullRegistry)
    said: list[str] = field(default_factory=list)
    open_judge: Callable[[], Judge] = RuleJudge

    def task(self, stage: Stage) -> StageTask:
        self.folder.begin(self.config)
        spec = RunSpec(run_id=self.folder.run_id, stage=stage)
        return StageTask(
            stage=stage,
            config=self.config,
            folder=self.folder,
            spec=spec,
            run=self.tracker.start_run(spec),
            tracker=self.tracker,
            registry=self.registry,
            say=self.said.append,
            clock=ticking(),
            open_judge=self.open_judge,
        )

    def recorded(self, stage: Stage) -> MemoryRun:
        return self.tracker.runs[self.folder.run_id, stage]


def task_maker(path: Path, overrides: Mapping[str, object] | None = None) -> TaskMaker:
    """Tasks of a run in `path`."""
    return TaskMaker(folder=RunFolder(path), config=tiny_config(overrides))


def ticking(step_s: float = 1.0) -> Callable[[], float]:
    """A clock that goes on by `step_s` each time it is read."""
    ticks = count()
    return lambda: next(ticks) * step_s
