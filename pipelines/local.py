"""The pipeline on this machine, without a cluster and without containers.

Rule: the stages that a cluster runs, executed by kfp.local in one process a step. A run that is started again
in the same folder goes on where it was: the stages look into the folder, kfp's own cache is not used.
"""

import contextlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from visionthink.errors import ConfigError, UserError, VisionThinkError
from visionthink.pipelines.local_output import LocalOutput
from visionthink.pipelines.parameter import is_plain, to_parameter
from visionthink.pipelines.parent import PARENT_VARIABLE
from visionthink.runs.failure import read_failure
from visionthink.runs.folder import STAGES


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
                _execute(config_json, folder, output)
        except RuntimeError as error:
            raise _failure(folder, output, Path(log.name)) from error
    return home / "artifacts"


def _execute(config_json: str, folder: Path, output: LocalOutput) -> None:
    from kfp import local

    from visionthink.pipelines.visionthink_pipeline import build

    with tempfile.TemporaryDirectory(prefix="visionthink-") as home, contextlib.redirect_stdout(output):
        place = _plain(folder, Path(home))
        local.init(
            local.SubprocessRunner(use_venv=False),
            pipeline_root=str(place / "pipeline" / "artifacts"),
            raise_on_error=True,
            enable_caching=False,
        )
        with _plain_interpreter(Path(home)):
            build()(config_json=to_parameter(config_json), run_dir=str(place))


def _plain(folder: Path, home: Path) -> Path:
    """The run's folder under a name in which kfp.local replaces nothing: its own, or else a link in `home` to it."""
    if is_plain(folder):
        return folder
    link = home / "run"
    if not is_plain(link):
        raise ConfigError(f"neither {folder} nor {home} can be named to a pipeline; let TMPDIR name a plain folder")
    link.symlink_to(folder, target_is_directory=True)
    return link


@contextlib.contextmanager
def _plain_interpreter(home: Path) -> Generator[None]:
    """Let kfp.local find this interpreter, whose name it writes into a shell's command as it is, blanks and all."""
    own = sys.executable
    if shlex.quote(own) == own:
        yield
        return
    script = home / "python"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(own)} "$@"\n', encoding="utf-8")
    script.chmod(0o700)
    sys.executable = str(script)
    try:
        yield
    finally:
        sys.executable = own


def _failure(folder: Path, output: LocalOutput, log: Path) -> StageFailedError:
    """The error of the stage that was at work, in its own words."""
    stage = output.stage or "(none began)"
    told = read_failure(_error_path(folder, stage))
    if told is None:
        tail = "\n".join(f"    {line}" for line in output.last_lines)
        return StageFailedError(
            f"stage {stage} ended without saying why: it was killed, or memory ran out. Start the run again to go on "
            f"from where it was. All output is in {log}; its last lines:\n{tail}"
        )
    if told.exit_code == StageRefusedError.exit_code:
        return StageRefusedError(f"stage {stage} failed: {told.message}")
    return StageFailedError(f"stage {stage} failed: {told.message} (all output is in {log})")


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
