"""What every step of the pipeline does around its stage, inside the step's own process or pod.

Rule: the run's folder is the state of a run. A step puts into it what earlier steps made, if it is not there (another
pod, an empty disk), lets the stage work, and copies what the stage made into the step's artifacts, in the same places.
So the pipeline works with a shared disk and without one, and a cached step is as good as one that ran.
A failure leaves as one line and as `<stage>/error.json`, because neither Kubeflow nor kfp.local hands the reason on.
"""

import importlib
import os
import select
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import visionthink
from visionthink.errors import DataError, UserError, VisionThinkError
from visionthink.storage.atomic import atomic_open, atomic_write_json

STAGE_VARIABLE: Final = "VISIONTHINK_STAGE_FUNCTION"
"""`module:function` that runs a stage, for tests and for stages of your own."""
PARENT_VARIABLE: Final = "VISIONTHINK_PARENT_PID"
"""Process that runs the pipeline locally; the step ends with it."""
BEGIN, END, FAILED = "::visionthink begin::", "::visionthink end::", "::visionthink failed::"
"""Lines around what a local stage says; all other lines are Kubeflow's, or say why a stage failed."""

_DEFAULT_STAGE: Final = "visionthink.stage:run_stage"
_RESULT: Final = "result.json"

StageFunction = Callable[[str, str, str], Mapping[str, object]]


class Artifact(Protocol):
    """What is used of a Kubeflow artifact."""

    path: str
    metadata: dict[str, object]


class MetricsArtifact(Protocol):
    """What is used of a Kubeflow Metrics artifact."""

    def log_metric(self, metric: str, value: float) -> None:
        """Keep a number for the run page."""


class ConfusionArtifact(Protocol):
    """What is used of a Kubeflow ClassificationMetrics artifact."""

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        """Keep a matrix for the run page: rows are true, columns predicted."""


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
    if local:
        print(f"{BEGIN} {name}", flush=True)
    try:
        _check_version(version)
        for artifact in inputs:
            restore(artifact, folder)
        result = _stage_function(os.environ)(name, config_json, run_dir)
        if output is not None:
            publish(result, name, folder, output)
        _show(result, folder, metrics=metrics, confusion=confusion, html=html)
    except Exception as error:
        if local:
            print(f"{FAILED} {name}", flush=True)
        sys.exit(_report(error, name, folder))
    if local:
        print(f"{END} {name}", flush=True)


def publish(result: Mapping[str, object], name: str, folder: Path, artifact: Artifact) -> None:
    """Copy what the stage made, and its result.json, into a Kubeflow artifact, each where it lies in the run's folder.

    What it did not make (an address, the model of an earlier step) is named in the artifact's metadata only.
    """
    target, root = Path(artifact.path), folder.resolve()
    target.mkdir(parents=True, exist_ok=True)
    artifact.metadata |= {"stage": name, "version": visionthink.__version__}
    for key, place in _places(result).items():
        relative = _own_place(place, name, root)
        if relative is None:
            artifact.metadata[key] = place
        else:
            _copy(root / relative, target / relative)
    # Last, because a stage with a result counts as done.
    if (root / name / _RESULT).exists():
        _copy(root / name / _RESULT, target / name / _RESULT)


def restore(artifact: Artifact, folder: Path) -> None:
    """Put what an earlier step published back into the run's folder, unless that stage is done there.

    Raises:
        DataError: the artifact holds no files.
    """
    source = Path(artifact.path)
    files = sorted((path for path in source.rglob("*") if path.is_file()), key=lambda path: path.name == _RESULT)
    if not files:
        raise DataError(f"the artifact at {source} is empty; run the pipeline again with caching switched off")
    results = [path for path in files if path.name == _RESULT]
    if results and all((folder / path.relative_to(source)).exists() for path in results):
        return
    for path in files:
        with path.open("rb") as old, atomic_open(folder / path.relative_to(source)) as new:
            shutil.copyfileobj(old, new)


def end_with_parent(env: Mapping[str, str]) -> bool:
    """Let this process end when the one that runs the pipeline locally ends; tell whether there is one.

    Otherwise a killed `visionthink run` would leave its stage at work, in the way of the next run.
    """
    pid = env.get(PARENT_VARIABLE)
    if not pid:
        return False
    try:
        parent = os.pidfd_open(int(pid))
    except ProcessLookupError:
        os._exit(1)

    def wait() -> None:
        select.select([parent], [], [])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    return True


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


def _places(result: Mapping[str, object]) -> dict[str, str]:
    artifacts = result.get("artifacts") or {}
    assert isinstance(artifacts, Mapping), artifacts
    return {str(key): str(place) for key, place in artifacts.items()}


def _own_place(place: str, name: str, root: Path) -> Path | None:
    """Where something that this stage made lies in the run's folder: in its own part, or at the top."""
    path = (root / place).resolve()
    if "://" in place or not path.is_relative_to(root):
        return None
    relative = path.relative_to(root)
    return relative if relative.parts[0] == name or len(relative.parts) == 1 else None


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _show(
    result: Mapping[str, object],
    folder: Path,
    *,
    metrics: MetricsArtifact | None,
    confusion: ConfusionArtifact | None,
    html: Artifact | None,
) -> None:
    """Fill what Kubeflow draws on the page of a run."""
    numbers, matrix, page = result.get("metrics"), result.get("confusion"), result.get("html")
    if metrics is not None and isinstance(numbers, Mapping):
        for key, value in numbers.items():
            metrics.log_metric(str(key), float(value))
    if confusion is not None and isinstance(matrix, Iterable):
        rows = [[int(count) for count in row] for row in matrix]
        confusion.log_confusion_matrix(["asks for the full view", "answers from the quarter view"], rows)
    if html is not None and page is not None:
        Path(html.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / str(page), html.path)


def _report(error: Exception, name: str, folder: Path) -> int:
    """Tell why the stage failed, keep it for the process that runs the pipeline, and return the exit code."""
    code = error.exit_code if isinstance(error, VisionThinkError) else 1
    message = str(error) if isinstance(error, VisionThinkError) else f"{type(error).__name__}: {error}"
    if not isinstance(error, VisionThinkError):
        traceback.print_exception(error)
    print(f"stage {name} failed: {message}", file=sys.stderr, flush=True)
    try:
        atomic_write_json(
            folder / name / "error.json", {"error": type(error).__name__, "message": message, "exit_code": code}
        )
    except VisionThinkError as unwritten:
        print(f"and no error.json could be written: {unwritten}", file=sys.stderr, flush=True)
    return code
