"""The options that every stage command takes, and what they mean.

Rule: one list of options for all commands, so that a stage run alone understands what the whole run understands. An
option is a short way to write a setting; `--set` reaches every other one and wins over the short ways.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from visionthink.config import RunConfig, load_config, override_config, parse_override

RUNS_DIR = Path("runs")

_Config = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.", metavar="FILE")]
_Preset = Annotated[
    str | None, typer.Option("--preset", help="Settings that ship with the package: `visionthink preset list`.")
]
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
_Contenders = Annotated[
    list[str] | None,
    typer.Option(
        "--contender",
        help="Evaluate one more: always_low, always_high, base or trained, with visual tokens dropped by fastv, "
        "sparsevlm or visionzip, e.g. always_high+fastv@0.5. Repeatable.",
        metavar="NAME+METHOD@SHARE",
    ),
]
_RunDir = Annotated[
    Path | None, typer.Option("--run-dir", help="Folder of the run. Default: runs/latest, or a new run.", metavar="DIR")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the common options said."""

    config: Path | None = None
    preset: str | None = None
    """Below the file."""
    overrides: Mapping[str, object] = field(default_factory=dict)
    """By dotted key."""
    run_dir: Path | None = None
    trains_held_out: bool = False
    """Whether families that are asked for by name and held out so far are taken off that list."""

    def resolve(self, base: RunConfig | None = None) -> RunConfig:
        """The settings: a preset and a file if one was named, else `base`, else the defaults; the options on top.

        Paths are absolute: a run may be gone on with from another folder.

        Raises:
            ConfigError: a key is unknown or a value is refused.
        """
        overrides = dict(self.overrides)
        if self.trains_held_out:
            start = base if base is not None and not self._names_settings else self._named({})
            overrides["data.held_out_families"] = _without(start.data.held_out_families, overrides["data.families"])
        config = (
            override_config(base, overrides)
            if base is not None and not self._names_settings
            else self._named(overrides)
        )
        return config.with_absolute_places(Path.cwd())

    @property
    def _names_settings(self) -> bool:
        return self.config is not None or self.preset is not None

    def _named(self, overrides: Mapping[str, object]) -> RunConfig:
        return load_config(self.config, overrides, preset=self.preset)

    def with_overrides(self, overrides: Mapping[str, object]) -> "Settings":
        """The same with more settings, which win."""
        return replace(self, overrides={**self.overrides, **overrides})


def _settings(
    config: _Config = None,
    preset: _Preset = None,
    set_: _Set = None,
    seed: _Seed = None,
    world_seed: _WorldSeed = None,
    families: _Families = None,
    held_out_families: _HeldOut = None,
    penalty: _Penalty = None,
    contender: _Contenders = None,
    run_dir: _RunDir = None,
) -> Settings:
    short: dict[str, object] = {
        "seed": seed,
        "data.world_seed": world_seed,
        "data.families": names(families),
        "data.held_out_families": names(held_out_families),
        "reward.penalty": penalty,
        "evaluate.contenders": contender,
    }
    given = {key: value for key, value in short.items() if value is not None}
    set_by_key = dict(map(parse_override, set_ or []))
    return Settings(
        config=config,
        preset=preset,
        overrides=given | set_by_key,
        run_dir=run_dir,
        # Who names both lists, or writes settings out, means them.
        trains_held_out=families is not None
        and held_out_families is None
        and not {"data.families", "data.held_out_families"} & set_by_key.keys(),
    )


def _without(held_out: Sequence[str], families: object) -> list[str]:
    """A family that is asked for by name is not held out."""
    assert isinstance(families, Sequence), families
    return [family for family in held_out if family not in families]


def names(text: str | None) -> list[str] | None:
    """The names in a list separated by commas or blanks; None for no list."""
    return None if text is None else text.replace(",", " ").split()


def takes_settings(command: Callable[..., None], *, only: Collection[str] | None = None) -> Callable[..., None]:
    """Give a command whose first parameter is `settings: Settings` the common options in its place, or `only` some.

    typer reads a command's options off its signature and has no way to take several as one value, so the signature is
    put together here (PEP 362).
    """
    common = [
        option for name, option in inspect.signature(_settings).parameters.items() if only is None or name in only
    ]
    own = list(inspect.signature(command).parameters.values())[1:]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        settings = _settings(**{option.name: given.pop(option.name) for option in common})
        command(settings, **given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [option.replace(kind=keyword) for option in (*own, *common)]
    wrapped.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    return wrapped
