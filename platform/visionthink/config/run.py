"""The configuration of a whole run: parsed once at the edge, frozen, and passed on as JSON."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError, model_validator

from visionthink.config.cluster import ClusterConfig
from visionthink.config.contender import parse_contender
from visionthink.config.data import DataConfig, ViewConfig
from visionthink.config.evaluation import EvaluateConfig, RegisterConfig
from visionthink.config.first_look import FirstLookConfig
from visionthink.config.preset import preset_text
from visionthink.config.rollout import RolloutConfig
from visionthink.config.section import OPERATIONAL, Section
from visionthink.config.stage import (
    EpisodeConfig,
    JudgeConfig,
    LabelConfig,
    ModelConfig,
    RewardConfig,
    ServeConfig,
    TrackingConfig,
    TrainConfig,
)
from visionthink.config.verl import VerlConfig
from visionthink.errors import ConfigError
from visionthink.network import without_secrets

_RENAMED: Final[Mapping[str, str]] = {
    "register_model.min_relative_accuracy": "register_model.min_accuracy_ratio",
    "register_model.check_resize_rates": "register_model.check_resize_ratios",
    "register_model.min_resize_rate_needed": "register_model.min_resize_ratio_needed",
    "register_model.max_resize_rate_not_needed": "register_model.max_resize_ratio_not_needed",
}
"""What settings that files may still name are called now."""


class RunConfig(Section):
    """Everything that a run is decided by."""

    seed: int = Field(default=0, ge=0)
    """Seed of rollouts and of the order of samples."""
    data: DataConfig = DataConfig()
    view: ViewConfig = ViewConfig()
    model: ModelConfig = ModelConfig()
    episode: EpisodeConfig = EpisodeConfig()
    first_look: FirstLookConfig = FirstLookConfig()
    judge: JudgeConfig = JudgeConfig()
    reward: RewardConfig = RewardConfig()
    label: LabelConfig = LabelConfig()
    train: TrainConfig = TrainConfig()
    verl: VerlConfig = VerlConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    register_model: RegisterConfig = RegisterConfig()
    tracking: TrackingConfig = TrackingConfig()
    serve: ServeConfig = ServeConfig()
    cluster: Annotated[ClusterConfig, OPERATIONAL] = ClusterConfig()
    rollout: Annotated[RolloutConfig, OPERATIONAL] = RolloutConfig()

    @model_validator(mode="after")
    def _fits(self) -> "RunConfig":
        if self.train.policy != "auto" and self.reward.penalty != "none":
            raise ValueError(
                f"train.policy {self.train.policy} leaves nothing to ask for, but reward.penalty is "
                f"{self.reward.penalty}; set it to none"
            )
        if self.train.advantage == "turn" and self.reward.penalty == "none" and not self.reward.token_penalty:
            raise ValueError(
                "train.advantage turn compares what was asked for by its penalty, but reward.penalty is none and "
                "reward.token_penalty 0; set one of them, or train.advantage to episode"
            )
        for text in self.evaluate.contenders:
            name = parse_contender(text)
            engine = self.evaluate.engine if name.plain == "trained" else self.model.engine
            if engine != "transformers":
                raise ValueError(
                    f"evaluate.contenders has {text}, but {name.plain} answers from {without_secrets(engine)}; only "
                    "the engine transformers can drop visual tokens: set "
                    f"{'evaluate' if name.plain == 'trained' else 'model'}.engine to it, or leave the contender out"
                )
        return self

    def digest(self) -> str:
        """Sixteen hexadecimal digits of the identity.

        Two identities that differ share them with a chance of 1 in 2**64: whoever must be sure compares identities.
        """
        return hashlib.blake2b(json.dumps(self.identity(), sort_keys=True).encode(), digest_size=8).hexdigest()


def load_config(
    path: Path | None, overrides: Mapping[str, object] | None = None, *, preset: str | None = None
) -> RunConfig:
    """The configuration of a preset (None: all defaults), a TOML file on top, and dotted `overrides` on top of both.

    Raises:
        ConfigError: there is no such preset, the file cannot be read, or a key or value is wrong; names the key, the
            value and the mend.
    """
    tree: dict[str, Any] = {} if preset is None else tomllib.loads(preset_text(preset))
    if path is not None:
        try:
            own = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"configuration {path} cannot be read: {error}") from error
        tree = _laid_over(tree, own)
    return parse_config(_with(tree, overrides or {}))


def override_config(config: RunConfig, overrides: Mapping[str, object]) -> RunConfig:
    """The configuration with dotted `overrides` on top.

    Raises:
        ConfigError: a key or value is wrong.
    """
    return parse_config(_with(config.model_dump(mode="json"), overrides))


def parse_config(tree: Mapping[str, Any] | str) -> RunConfig:
    """The configuration of a tree of settings, or of its JSON.

    Raises:
        ConfigError: a key is unknown or a value is refused.
    """
    try:
        return RunConfig.model_validate_json(tree) if isinstance(tree, str) else RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(map(_explain, error.errors(include_url=False)))) from error


def parse_override(text: str) -> tuple[str, object]:
    """The key and value of `section.key=value`, the value being TOML (a bare word is a string).

    Raises:
        ConfigError: there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"setting {text!r} is not of the form section.key=value")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _laid_over(tree: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """Both, section by section; what `upper` says wins."""
    merged = dict(tree)
    for key, value in upper.items():
        below = merged.get(key)
        merged[key] = _laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _with(tree: dict[str, Any], overrides: Mapping[str, object]) -> dict[str, Any]:
    for key, value in overrides.items():
        _put(tree, key, value)
    return tree


def _put(tree: dict[str, Any], key: str, value: object) -> None:
    *sections, name = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"setting {key}: {section} is a value, not a section")
    tree[name] = value


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "configuration"
    match error["type"]:
        case "extra_forbidden" if key in _RENAMED:
            return f"{key} is called {_RENAMED[key]} now"
        case "extra_forbidden":
            value = without_secrets(repr(error["input"]))
            return f"unknown key {key} (value {value}); `visionthink config` lists every key"
        case _:
            text = f"{key}: {error['msg'].removeprefix('Value error, ')}"
            # Of a rule between settings the text names those that matter; all the others would bury it.
            is_section = isinstance(error["input"], Mapping | Section)
            return text if is_section else f"{text} (got {without_secrets(repr(error['input']))})"
