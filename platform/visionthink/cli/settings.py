"""The options that every stage command takes, and what they mean.

Rule: one list of options for all commands, so that a stage run alone understands what the whole run understands. An
option is a short way to write a setting; `--set` reaches every other one and wins over the short ways.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from visionthink.config import RunConfig, load_config, override_config, parse_override

RUNS_DIR = Path("runs")
_NO_PATHS = (None, "embedded", "world")
"""Values of settings for places that are no path."""

_Config = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.", metavar="FILE")]
_Set = Annotated[
    list[str] | None, typer.Option("--set", help="A setting, e.g. train.num_steps=80. Repeatable.", metavar="KEY=VALUE")
]
_Seed = Annotated[int | None, typer.Option("--seed", help="Seed of rollouts and of the order of samples.")]
_WorldSeed = Annotated[int | None, typer.Option("--world-seed", help="Seed of the picture world: other pictures.")]
_Families = Annotated[
    str | None, typer.Option("--families", help="Families to train on and to evaluate, comma-separated.", metavar="A,B")
]
_HeldOut = Annotated[
    str | None,
    typer.Option("--held-out-families", help="Families kept out of training; '' for none.", metavar="A,B"),
]
_Penalty = Annotated[str | None, typer.Option("--penalty", help="Penalty rule: paper, released or none.")]
_RunDir = Annotated[
    Path | None, typer.Option("--run-dir", help="Folder of the run. Default: runs/latest, or a new run.", metavar="DIR")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the common options said."""

    config: Path | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    """By dotted key."""
    run_dir: Path | None = None

    def resolve(self, base: RunConfig | None = None) -> RunConfig:
        """The settings: a file if one was named, else `base`, else the defaults; then the options on top.

        Raises:
            ConfigError: a key is unknown or a value is refused.
        """
        if self.config is None and base is not None:
            return _with_absolute_paths(override_config(base, self.overrides))
        return _with_absolute_paths(load_config(self.config, self.overrides))

    def with_overrides(self, overrides: Mapping[str, object]) -> "Settings":
        """The same with more settings, which win."""
        return Settings(config=self.config, overrides={**self.overrides, **overrides}, run_dir=self.run_dir)


def _with_absolute_paths(config: RunConfig) -> RunConfig:
    """The same with paths that lead to the same place from any folder: a run may be gone on with from another one."""
    places = {
        "model.base": config.model.base,
        "evaluate.model": config.evaluate.model,
        "data.source": config.data.source,
        "data.eval_source": config.data.eval_source,
        "data.images": config.data.images,
        "register_model.store": config.register_model.store,
    }
    paths = {key: place for key, place in places.items() if place not in _NO_PATHS and "://" not in str(place)}
    return override_config(config, {key: str(Path(str(path)).absolute()) for key, path in paths.items()})


def _settings(
    config: _Config = None,
    set_: _Set = None,
    seed: _Seed = None,
    world_seed: _WorldSeed = None,
    families: _Families = None,
    held_out_families: _HeldOut = None,
    penalty: _Penalty = None,
    run_dir: _RunDir = None,
) -> Settings:
    short: dict[str, object] = {
        "seed": seed,
        "data.world_seed": world_seed,
        "data.families": names(families),
        "data.held_out_families": names(held_out_families),
        "reward.penalty": penalty,
    }
    given = {key: value for key, value in short.items() if value is not None}
    if families is not None and held_out_families is None:
        given |= _still_held_out(names(families) or [])
    return Settings(config=config, overrides=given | dict(map(parse_override, set_ or [])), run_dir=run_dir)


def _still_held_out(families: list[str]) -> dict[str, object]:
    """A family that is asked for by name is not held out, though it usually is."""
    usual = RunConfig().data.held_out_families
    left = [family for family in usual if family not in families]
    return {} if len(left) == len(usual) else {"data.held_out_families": left}


def names(text: str | None) -> list[str] | None:
    """The names in a list separated by commas or blanks; None for no list."""
    return None if text is None else text.replace(",", " ").split()


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose first parameter is `settings: Settings` the common options in its place."""
    common = inspect.signature(_settings).parameters
    own = list(inspect.signature(command).parameters.values())[1:]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        settings = _settings(**{name: given.pop(name) for name in common})
        command(settings, **given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    # typer reads a command's options off its signature.
    wrapped.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=keyword) for parameter in (*own, *common.values())]
    )
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *common.values())}
    return wrapped
