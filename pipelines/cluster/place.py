"""Where a step's pod finds things: the run's folder, and the installation's settings.

Rule: the run is called what Kubeflow calls it, so that a retried step, the nodes of a training and the tracker mean the
same one. The pod's own label tells the name: as a parameter it would be part of every cache key.
"""

import contextlib
import os
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

import visionthink
from visionthink.errors import ConfigError, UserError
from visionthink.network import spare_own_hosts
from visionthink.pipelines.cluster.cache_key import version_of
from visionthink.pipelines.step import report_failure
from visionthink.runs import RunFolder
from visionthink.storage.error import from_os_error

RUN_VARIABLE: Final = "KFP_RUN_ID"
RUN_FIELD: Final = "metadata.labels['pipeline/runid']"
"""The label that Kubeflow gives every pod of a run."""
RUNS_VARIABLE: Final = "VISIONTHINK_RUNS_DIR"
SETTINGS_VARIABLE: Final = "VISIONTHINK_SETTINGS_DIR"
RUNS_DIR: Final = "/runs"
SETTINGS_DIR: Final = "/etc/visionthink"
_SETTINGS_FILE: Final = "platform.toml"


def run_folder(env: Mapping[str, str]) -> RunFolder:
    """The folder of this run.

    Raises:
        ConfigError: the pod does not say which run it belongs to.
        StorageError: the folder cannot be made.
    """
    run_id = env.get(RUN_VARIABLE)
    if not run_id:
        raise ConfigError(f"{RUN_VARIABLE} is not set; it is the pod's label pipeline/runid: compile the pipeline anew")
    path = Path(env.get(RUNS_VARIABLE) or RUNS_DIR) / run_id
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, str(path), "make") from error
    return RunFolder(path)


def platform_file(env: Mapping[str, str]) -> Path | None:
    """What the installation is called, as its chart writes it; None where nothing is mounted."""
    path = Path(env.get(SETTINGS_VARIABLE) or SETTINGS_DIR) / _SETTINGS_FILE
    return path if path.is_file() else None


def check_key(key: str) -> None:
    """Refuse to go on with what an image of another version began.

    Raises:
        UserError: naming both.
    """
    if version_of(key) != visionthink.__version__:
        raise UserError(
            f"this run was prepared by visionthink {version_of(key)} but this image holds {visionthink.__version__}; "
            "give all steps images of one version"
        )


@contextlib.contextmanager
def told(name: str, env: Mapping[str, str] = os.environ) -> Generator[RunFolder]:
    """The run's folder for a step called `name`, whose failure is told in one line and kept beside the run."""
    spare_own_hosts(os.environ)
    folder = None
    try:
        folder = run_folder(env)
        yield folder
    except Exception as error:
        sys.exit(report_failure(error, name, None if folder is None else folder.path))


def say(line: str) -> None:
    """Write a line to the step's log."""
    print(line, flush=True)
