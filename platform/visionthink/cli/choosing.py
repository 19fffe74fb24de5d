"""Which run a command works on, and with which settings.

Rule: what exists is gone on with. A stage run alone works on the latest run, with that run's own settings unless a file
is named; options that contradict them are refused by the run's folder, never applied to half a run.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from visionthink.cli.settings import RUNS_DIR, Settings
from visionthink.config import RunConfig, override_config
from visionthink.errors import ConfigError
from visionthink.model.bundled import check_model
from visionthink.model.card import with_card
from visionthink.runs.choice import choose_judging_run, choose_run, latest_run, point_latest
from visionthink.runs.folder import RunFolder, check_run_id
from visionthink.samples import WORLD

_QUESTIONS: Final = frozenset({"seed", "data", "evaluate", "first_look"})
"""Sections that say what a model is asked in an evaluation."""


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
        folder = _named(settings.run_dir)
        return Chosen(folder, settings.resolve(_own_config(folder)))
    config = settings.resolve()
    return Chosen(choose_run(RUNS_DIR, config, now=now(), run_id=run_id, fresh=fresh), config)


def choose_begun_run(settings: Settings) -> Chosen:
    """The run that a stage behind the first one works on: the one named, or the latest.

    Raises:
        ConfigError: there is none.
    """
    folder = _named(settings.run_dir) if settings.run_dir is not None else latest_run(RUNS_DIR)
    if folder is None:
        raise ConfigError(
            f"there is no run in {RUNS_DIR}/ yet; start one with `visionthink run` or `visionthink label`, or name one "
            "with --run-dir"
        )
    return Chosen(folder, settings.resolve(folder.config()))


def choose_evaluated_run(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> Chosen:
    """The begun run that `evaluate` works on; where the options ask for other questions, a run of its own.

    So a trained model can be judged on any world and any families, and its own evaluation stays what it is.

    Raises:
        ConfigError: there is no run, or it has no model to judge on other questions.
    """
    chosen = choose_begun_run(settings)
    changed = _changed(chosen.folder.config(), chosen.config)
    if not changed or not changed <= _QUESTIONS:
        return chosen
    own = chosen.folder.config().evaluate.model
    model = Path(own) if own is not None else chosen.folder.trained_model
    return choose_judged_run(replace(settings, run_dir=None), model, runs_dir=chosen.folder.runs_dir, now=now)


def choose_judged_run(
    settings: Settings, model: Path, *, runs_dir: Path = RUNS_DIR, now: Callable[[], datetime] = utc_now
) -> Chosen:
    """A run of its own for judging the model in a folder: the one named, or one in `runs_dir`.

    There it is the unfinished one that asks the same, or a new one.

    Where nothing else is said, the settings are those of the run that made the model, or else the defaults with what
    the model's card says. Families that this run did not train on are held apart from those that it did.

    Raises:
        ConfigError: there is no such model, or the settings are wrong.
    """
    check_model(model)
    settings = settings.with_overrides({"evaluate.model": str(model)})
    folder = None if settings.run_dir is None else _named(settings.run_dir)
    begun = None if folder is None else _own_config(folder)
    maker = _maker_of(model)
    config = settings.resolve(begun or maker or with_card(model, RunConfig()))
    if maker is not None:
        config = _untrained_apart(config, frozenset(maker.data.families))
    return Chosen(folder or choose_judging_run(runs_dir, config, now=now()), config)


def _untrained_apart(config: RunConfig, trained: frozenset[str]) -> RunConfig:
    """The settings with families that were not trained on held out; unchanged where none would be left."""
    asked = config.data.families
    left = [family for family in asked if family in trained]
    if config.data.source != WORLD or not left or len(left) == len(asked):
        return config
    apart = [*config.data.held_out_families, *(family for family in asked if family not in trained)]
    return override_config(config, {"data.families": left, "data.held_out_families": apart})


def _maker_of(model: Path) -> RunConfig | None:
    """The settings of the run in whose folder the model lies; None where it lies elsewhere."""
    folder = RunFolder(model.absolute().parent.parent)
    is_run = folder.config_path.is_file() and model.resolve() in (folder.trained_model, folder.registered_model)
    return folder.config() if is_run else None


def _changed(old: RunConfig, new: RunConfig) -> set[str]:
    """The sections in which results differ."""
    was, now = old.identity(), new.identity()
    return {name for name in was if was[name] != now[name]}


def publish_as_latest(chosen: Chosen) -> None:
    """Let `runs/latest` point at a run of the usual place; a folder somewhere else is its owner's business."""
    if chosen.folder.runs_dir == RUNS_DIR.resolve():
        point_latest(chosen.folder)


def _named(run_dir: Path) -> RunFolder:
    """The folder that --run-dir names.

    Raises:
        UserError: no run can have its name.
    """
    folder = RunFolder(run_dir)
    check_run_id(folder.run_id)
    return folder


def _own_config(folder: RunFolder) -> RunConfig | None:
    return folder.config() if folder.config_path.exists() else None
