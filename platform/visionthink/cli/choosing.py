"""Which run a command works on, and with which settings.

Rule: what exists is gone on with. A stage run alone works on the latest run, with that run's own settings unless a file
is named; options that contradict them are refused by the run's folder, never applied to half a run.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from visionthink.cli.settings import RUNS_DIR, Settings
from visionthink.config import RunConfig
from visionthink.errors import ConfigError
from visionthink.runs.choice import choose_run, latest_run, point_latest
from visionthink.runs.folder import RunFolder


class Chosen(NamedTuple):
    """A run and the settings to work on it with."""

    folder: RunFolder
    config: RunConfig


def utc_now() -> datetime:
    """The moment that new runs are named after."""
    return datetime.now(UTC)


def choose_whole_run(
    settings: Settings, *, run_id: str | None, fresh: bool, now: Callable[[], datetime] = utc_now
) -> Chosen:
    """The run that `visionthink run` works on. Nothing is made yet.

    Raises:
        ConfigError: the settings are wrong, or the options contradict each other.
    """
    if settings.run_dir is not None:
        if run_id is not None or fresh:
            raise ConfigError("--run-dir names the run, so --run-id and --fresh cannot choose another; leave them out")
        folder = RunFolder(settings.run_dir)
        return Chosen(folder, settings.resolve(_own_config(folder)))
    config = settings.resolve()
    return Chosen(choose_run(RUNS_DIR, config, now=now(), run_id=run_id, fresh=fresh), config)


def choose_begun_run(settings: Settings) -> Chosen:
    """The run that a stage behind the first one works on: the one named, or the latest.

    Raises:
        ConfigError: there is none.
    """
    folder = RunFolder(settings.run_dir) if settings.run_dir is not None else latest_run(RUNS_DIR)
    if folder is None:
        raise ConfigError(
            f"there is no run in {RUNS_DIR}/ yet; start one with `visionthink run` or `visionthink label`, or name one "
            "with --run-dir"
        )
    return Chosen(folder, settings.resolve(folder.config()))


def choose_judged_run(settings: Settings, model: Path, *, now: Callable[[], datetime] = utc_now) -> Chosen:
    """A run of its own for judging the model in a folder: the one named, or a new one beside the others."""
    settings = settings.with_overrides({"evaluate.model": str(model)})
    folder = None if settings.run_dir is None else RunFolder(settings.run_dir)
    config = settings.resolve(None if folder is None else _own_config(folder))
    if folder is None:
        folder = RunFolder(RUNS_DIR / f"evaluate-{now():%Y%m%d-%H%M%S}-{config.digest()}")
    return Chosen(folder, config)


def publish_as_latest(chosen: Chosen) -> None:
    """Let `runs/latest` point at a run of the usual place; a folder somewhere else is its owner's business."""
    if chosen.folder.runs_dir == RUNS_DIR.resolve():
        point_latest(chosen.folder)


def _own_config(folder: RunFolder) -> RunConfig | None:
    return folder.config() if folder.config_path.exists() else None
