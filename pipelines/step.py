"""What every step of the pipeline does around its stage, inside the step's own process or pod.

Rule: the run's folder is the state of a run. A step puts into it what earlier steps made, if it is not there (another
pod, an empty disk), lets the stage work, and copies what the stage made into the step's artifacts, in the same places.
A failure leaves as one line and as `<stage>/error.json`, because neither Kubeflow nor kfp.local hands the reason on.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import visionthink
from visionthink.errors import UserError, VisionThinkError
from visionthink.network import spare_own_hosts
from visionthink.pipelines.artifact import Artifact, publish, restore
from visionthink.pipelines.display import ConfusionArtifact, MetricsArtifact, display
from visionthink.pipelines.parameter import whole_config
from visionthink.pipelines.parent import BEGIN, END, FAILED, end_with_parent
from visionthink.runs.failure import failure_of, keep_failure

STAGE_VARIABLE: Final = "VISIONTHINK_STAGE_FUNCTION"
"""`module:function` that runs a stage, for tests and for stages of your own."""

_DEFAULT_STAGE: Final = "visionthink.stage:run_stage"

StageFunction = Callable[[str, str, str], Mapping[str, object]]


def run_step(
    name: str,
    config_json: str,
    run_dir: str,
    version: str,
    *,
    inputs: Sequence[Artifact] = (),
    output: Artifact | None = None,
    metrics: MetricsArtifact | None = None,
    confusion: ConfusionArtifact | None = None,
    html: Artifact | None = None,
) -> None:
    """Run a stage in `run_dir` and fill the step's artifacts.

    Raises:
        SystemExit: the stage failed, with its exit code; the reason is on standard error and in error.json.
    """
    folder = Path(run_dir)
    local = end_with_parent(os.environ)
    spare_own_hosts(os.environ)
    if local:
        print(f"{BEGIN} {name}", flush=True)
    try:
        _check_version(version)
        for artifact in inputs:
            restore(artifact, folder)
        result = _stage_function(os.environ)(name, whole_config(config_json, folder), run_dir)
        if output is not None:
            publish(result, name, folder, output)
        display(result, folder, metrics=metrics, confusion=confusion, html=html)
    except Exception as error:
        if local:
            print(f"{FAILED} {name}", flush=True)
        sys.exit(report_failure(error, name, folder))
    if local:
        print(f"{END} {name}", flush=True)


def _check_version(version: str) -> None:
    if version != visionthink.__version__:
        raise UserError(
            f"the pipeline was compiled with visionthink {version} but this image holds {visionthink.__version__}; "
            "compile it again, or run it with the image of its version"
        )


def _stage_function(env: Mapping[str, str]) -> StageFunction:
    module, _, function = env.get(STAGE_VARIABLE, _DEFAULT_STAGE).partition(":")
    found: StageFunction = getattr(importlib.import_module(module), function)
    return found


def report_failure(error: Exception, name: str, folder: Path | None) -> int:
    """Tell why a step failed, keep it in the run's `folder` where there is one, and return the exit code."""
    failure = failure_of(error)
    if not isinstance(error, VisionThinkError):
        traceback.print_exception(error)
    print(f"stage {name} failed: {failure.message}", file=sys.stderr, flush=True)
    if folder is None:
        return failure.exit_code
    try:
        keep_failure(folder / name / "error.json", failure)
    except VisionThinkError as unwritten:
        print(f"and no error.json could be written: {unwritten}", file=sys.stderr, flush=True)
    return failure.exit_code
