"""What a training leaves in the tracker: the run of the stage, and one below it for each try that went on.

Rule: the stage's run holds each step once, as it was first taken, and the settings of the first try. A try that goes on
from a checkpoint takes the steps behind it again and may have other settings; that is kept in a run of its own, named
after the checkpoint, so that nothing that was measured is lost. A run ends as its try did.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from visionthink.config import RunConfig
from visionthink.tracking import RunSpec, TrackedRun, Tracker, flatten, open_tracking, tracked
from visionthink.training.verl.plan import VerlPlan

STAGE: Final = "train"
OnStep: TypeAlias = Callable[[int, Mapping[str, float]], None]
"""Is told each step, counted from 1, and its numbers by registered name."""


@contextlib.contextmanager
def stage_run(
    plan: VerlPlan, config: RunConfig, env: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[tuple[Tracker, TrackedRun] | None]:
    """The plan's tracker and the stage's run in it, which ends as the block does; None without a tracker."""
    if plan.tracking_uri is None:
        yield None
        return
    tracker = open_tracking(
        "mlflow",
        env=env,
        runs_dir=plan.output,
        experiment=config.tracking.experiment,
        uri=plan.tracking_uri,
        required=config.tracking.required,
        timeout_s=config.tracking.timeout_s,
        say=say,
    ).tracker
    with tracked(tracker, RunSpec(run_id=plan.run_id, stage=STAGE)) as run:
        run.log_params(_params(plan, config))
        yield tracker, run


@contextlib.contextmanager
def try_run(tracker: Tracker | None, plan: VerlPlan, config: RunConfig, first: int) -> Iterator[TrackedRun | None]:
    """The run of a try that goes on behind step `first`, which ends as the block does; None for the first try."""
    if tracker is None or not first:
        yield None
        return
    spec = RunSpec(
        run_id=plan.run_id,
        stage=f"{STAGE}.behind-step-{first}",
        below=STAGE,
        tags={"visionthink.config": config.digest()},
    )
    with tracked(tracker, spec) as run:
        run.log_params(_params(plan, config))
        yield run


def told_to(*runs: TrackedRun | None, then: OnStep | None) -> OnStep:
    """What tells a step to those `runs` that there are, and `then`."""

    def tell(step: int, metrics: Mapping[str, float]) -> None:
        for run in runs:
            if run is not None:
                run.log_metrics(metrics, step=step)
        if then is not None:
            then(step, metrics)

    return tell


def _params(plan: VerlPlan, config: RunConfig) -> dict[str, str]:
    # The `+` tells veRL that its files do not list a name; trackers refuse it.
    own = {name.removeprefix("+"): value for name, value in plan.overrides.items()}
    return flatten(config.model_dump(mode="json")) | flatten({"verl": own})
