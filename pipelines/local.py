"""The pipeline on this machine, without a cluster and without containers.

Rule: the very pipeline that a cluster runs, executed by kfp.local in one process a step. A run that is started again
in the same folder goes on where it was: the stages look into the folder, kfp's own cache is not used.
"""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Final

from visionthink.errors import UserError, VisionThinkError
from visionthink.pipelines.local_output import LocalOutput
from visionthink.pipelines.step import PARENT_VARIABLE

STAGES: Final = ("label", "train", "evaluate", "register", "serve")
"""The pipeline's steps in the order in which they run."""


class StageFailedError(VisionThinkError):
    """A stage of the pipeline failed; the message is the stage's own."""


class StageRefusedError(StageFailedError, UserError):
    """A stage of the pipeline failed for a reason that the user can mend."""

    exit_code = 2


def run_local(config_json: str, run_dir: str | Path, *, say: Callable[[str], None] | None = None) -> Path:
    """Run all stages in `run_dir`, telling the user through `say`; return the folder of the Kubeflow artifacts.

    Raises:
        StageRefusedError: a stage failed and the user can mend it (exit code 2).
        StageFailedError: a stage failed or was killed.
    """
    folder = Path(run_dir).absolute()
    home = folder / "pipeline"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for stage in STAGES:
        _error_path(folder, stage).unlink(missing_ok=True)
    with (home / "output.log").open("w", encoding="utf-8", buffering=1) as log:
        output = LocalOutput(STAGES, log=log, say=say or _teller())
        try:
            with _environment({PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"}):
                _execute(config_json, folder, home / "artifacts", output)
        except RuntimeError as error:
            raise _failure(folder, output, Path(log.name)) from error
    return home / "artifacts"


def _execute(config_json: str, folder: Path, artifacts: Path, output: LocalOutput) -> None:
    from kfp import local

    from visionthink.pipelines.visionthink_pipeline import LOCAL_OPTIONS, build

    local.init(
        local.SubprocessRunner(use_venv=False), pipeline_root=str(artifacts), raise_on_error=True, enable_caching=False
    )
    with contextlib.redirect_stdout(output):
        build(LOCAL_OPTIONS)(config_json=config_json, run_dir=str(folder))


def _failure(folder: Path, output: LocalOutput, log: Path) -> StageFailedError:
    """The error of the stage that was at work, in its own words."""
    stage = output.stage or "(none began)"
    try:
        told = json.loads(_error_path(folder, stage).read_text(encoding="utf-8"))
        if told["exit_code"] == StageRefusedError.exit_code:
            return StageRefusedError(f"stage {stage} failed: {told['message']}")
        return StageFailedError(f"stage {stage} failed: {told['message']} (all output is in {log})")
    except (OSError, ValueError, KeyError, TypeError):
        tail = "\n".join(f"    {line}" for line in output.last_lines)
        return StageFailedError(
            f"stage {stage} ended without saying why: it was killed, or memory ran out. Start the run again to go on "
            f"from where it was. All output is in {log}; its last lines:\n{tail}"
        )


def _error_path(folder: Path, stage: str) -> Path:
    return folder / stage / "error.json"


def _teller() -> Callable[[str], None]:
    """Write to the standard output of now, past kfp's redirection and its patched print."""
    stdout = sys.stdout

    def tell(line: str) -> None:
        stdout.write(f"{line}\n")
        stdout.flush()

    return tell


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None]:
    """Set variables for the steps, which inherit them, and take them back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
