"""What `--model_args` says: which engine answers, and as which settings it is asked.

Rule: an argument is a setting of the same name as everywhere, `section.key=value`, or a short way to write one. What is
not known is refused, so a typing error never measures something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from visionthink.config import RunConfig, load_config, override_config
from visionthink.episodes.prompting import ViewPolicy
from visionthink.errors import ConfigError
from visionthink.model.card import with_card

SHORT: Final[Mapping[str, tuple[str, ...]]] = {
    "protocol": ("episode.protocol",),
    "direct_protocol": ("episode.direct_protocol",),
    "max_turns": ("episode.max_turns",),
    "max_reply_tokens": ("episode.max_reply_tokens",),
    "max_pixels": ("view.max_pixels",),
    "min_pixels": ("view.min_pixels",),
    "concurrency": ("model.max_in_flight", "model.max_connections"),
    "timeout_s": ("model.timeout_s",),
    "reply_cache": ("evaluate.reply_cache",),
}
"""Short ways, and the settings that they write."""
_OWN: Final = ("engine", "policy", "model", "preset", "config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """How the questions of an evaluation are asked."""

    engine: str
    """Where replies come from, as `open_engine` takes it."""
    policy: ViewPolicy
    model: Path | None
    """Folder of the model that answers, as far as it is known here."""
    config: RunConfig
    """Texts, tools, sizes and limits."""


def read_arguments(given: Mapping[str, object]) -> Arguments:
    """Read the arguments.

    Settings are those of `preset`, of the TOML file `config` on top, of the card beside the weights in `model` on top
    of both, and of the other arguments on top of all.

    Raises:
        UserError: there is no engine, an argument is unknown, or a value is refused.
    """
    own = {name: value for name, value in given.items() if name in _OWN}
    overrides = _overrides({name: value for name, value in given.items() if name not in _OWN})
    policy = str(own.get("policy", "auto"))
    if policy not in get_args(ViewPolicy):
        raise ConfigError(f"policy is {policy!r}; choose one of {', '.join(get_args(ViewPolicy))}")
    if not own.get("engine"):
        raise ConfigError(
            "no engine is named; pass --model_args engine=openai:http://HOST:PORT/v1?model=NAME, the address of a "
            "server of the model alone (a gateway runs the loop itself)"
        )
    model = None if own.get("model") is None else Path(str(own["model"]))
    return Arguments(
        engine=_unquoted(str(own["engine"])),
        policy=policy,  # type: ignore[arg-type]
        model=model,
        config=_settings(own, model, overrides),
    )


def _settings(own: Mapping[str, object], model: Path | None, overrides: Mapping[str, object]) -> RunConfig:
    file = None if own.get("config") is None else Path(str(own["config"]))
    preset = None if own.get("preset") is None else str(own["preset"])
    config = load_config(file, preset=preset)
    if model is not None:
        config = with_card(model, config)
    return override_config(config, overrides).with_absolute_places(Path.cwd())


def _overrides(given: Mapping[str, object]) -> dict[str, object]:
    """The settings that arguments write, by dotted key."""
    found: dict[str, object] = {}
    for name, value in given.items():
        if name not in SHORT and "." not in name:
            known = ", ".join((*_OWN, *SHORT))
            raise ConfigError(f"unknown argument {name}={value}; known are {known}, and settings as section.key=value")
        found |= dict.fromkeys(SHORT.get(name, (name,)), value)
    return found


def _unquoted(text: str) -> str:
    """Without the quotes that keep lmms-eval from splitting several servers at their commas."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
