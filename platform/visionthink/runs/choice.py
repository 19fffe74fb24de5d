"""Which run a command works on.

Rule: the same command typed again after a kill goes on where it stood. So a run is found by what its results depend on:
the latest one with the same identity that is not done is resumed, anything else begins a new run.
"""

import contextlib
import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig
from visionthink.errors import ConfigError
from visionthink.runs.folder import LATEST, RunFolder, check_run_id
from visionthink.storage.error import from_os_error
from visionthink.storage.key import TEMPORARY_PREFIX

_JUDGED: Final = "evaluate-"
"""How the runs are called that judge a model on questions of their own."""


def choose_run(
    runs_dir: Path, config: RunConfig, *, now: datetime, run_id: str | None = None, fresh: bool = False
) -> RunFolder:
    """The run called `run_id`; else the latest one if it is unfinished and has this identity; else a new one.

    Nothing is made. `fresh` begins a new run in any case.

    Raises:
        UserError: no run can be called `run_id`.
    """
    if run_id is not None:
        check_run_id(run_id)
        return RunFolder(runs_dir / run_id)
    latest = latest_run(runs_dir)
    if not fresh and latest is not None and not latest.summary_path.exists() and _is_of(latest, config):
        return latest
    return _new_run(runs_dir, "", config, now)


def choose_judging_run(runs_dir: Path, config: RunConfig, *, now: datetime) -> RunFolder:
    """The latest unfinished run that judges a model with this identity; else a new one. Nothing is made.

    `latest` never points at such a run, so it is looked for by its name, which holds the digest.
    """
    found = sorted(runs_dir.glob(f"{_JUDGED}*-{config.digest()}*"), reverse=True)
    for folder in map(RunFolder, found):
        if not folder.is_done("evaluate") and _is_of(folder, config):
            return folder
    return _new_run(runs_dir, _JUDGED, config, now)


def latest_run(runs_dir: Path) -> RunFolder | None:
    """The run that `latest` points at; None when there is none."""
    link = runs_dir / LATEST
    return RunFolder(link) if link.is_dir() else None


def point_latest(folder: RunFolder) -> None:
    """Let `latest` point at this run, which has begun; at no moment is there no such link, or a broken one."""
    temporary = folder.runs_dir / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    link = folder.runs_dir / LATEST
    try:
        temporary.symlink_to(folder.run_id, target_is_directory=True)
        os.replace(temporary, link)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise from_os_error(error, str(link), "write") from error


def _new_run(runs_dir: Path, prefix: str, config: RunConfig, now: datetime) -> RunFolder:
    """A name that no run has yet, of the moment and the digest."""
    name = f"{prefix}{now:%Y%m%d-%H%M%S}-{config.digest()}"
    number = 1
    while (path := runs_dir / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return RunFolder(path)


def _is_of(folder: RunFolder, config: RunConfig) -> bool:
    try:
        return folder.config().identity() == config.identity()
    except ConfigError:
        return False
