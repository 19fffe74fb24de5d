"""Which run a command works on.

Rule: the same command typed again after a kill goes on where it stood. So a run is found by its settings: the latest
one with the same settings that is not done is resumed, anything else begins a new run.
"""

import contextlib
import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig
from visionthink.errors import ConfigError
from visionthink.runs.folder import RunFolder
from visionthink.storage.error import from_os_error
from visionthink.storage.key import TEMPORARY_PREFIX

LATEST: Final = "latest"


def choose_run(
    runs_dir: Path, config: RunConfig, *, now: datetime, run_id: str | None = None, fresh: bool = False
) -> RunFolder:
    """The run called `run_id`; else the latest one if it is unfinished and has these settings; else a new one.

    Nothing is made. `fresh` begins a new run in any case.
    """
    if run_id is not None:
        return RunFolder(runs_dir / run_id)
    latest = latest_run(runs_dir)
    if not fresh and latest is not None and not latest.summary_path.exists() and _has_settings(latest, config):
        return latest
    name = f"{now:%Y%m%d-%H%M%S}-{config.digest()}"
    number = 1
    while (path := runs_dir / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return RunFolder(path)


def latest_run(runs_dir: Path) -> RunFolder | None:
    """The run that `latest` points at; None when there is none."""
    link = runs_dir / LATEST
    return RunFolder(link) if link.is_dir() else None


def point_latest(folder: RunFolder) -> None:
    """Let `latest` point at this run; at no moment is there no such link, or a broken one."""
    temporary = folder.runs_dir / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    link = folder.runs_dir / LATEST
    try:
        temporary.symlink_to(folder.run_id, target_is_directory=True)
        os.replace(temporary, link)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise from_os_error(error, str(link), "write") from error


def _has_settings(folder: RunFolder, config: RunConfig) -> bool:
    try:
        return folder.config() == config
    except ConfigError:
        return False
