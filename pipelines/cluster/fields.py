"""What a person fills in on Kubeflow's page, and the settings that it comes to. Pure but for the installation's file.

Rule: a field that is left empty changes nothing. The preset comes first, the installation's own settings over it, the
fields over both, and `overrides` win.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig, load_config, parse_override
from visionthink.errors import ConfigError

NO_ROLLOUT: Final = "off"
"""In the place of the canary's steps: the version is registered and not rolled out."""
MLFLOW_RUN: Final = "MLFLOW_RUN_ID"
"""Set where Kubeflow's MLflow plugin began a run for the task; then its server is the one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The fields, as texts."""

    preset: str = ""
    overrides: str = ""
    """`section.key=value`, separated by blanks, quoted as in a shell."""
    data_source: str = ""
    base_model: str = ""
    model_name: str = ""
    canary_steps: str = ""
    """Percents, by commas; empty takes the settings', `off` rolls nothing out."""


def resolve(fields: Fields, platform: Path | None, env: Mapping[str, str]) -> RunConfig:
    """The settings of a run; `platform` is the file of what the installation is called, where there is one.

    Raises:
        ConfigError: a field cannot be read, or a setting is refused.
    """
    plain = {
        "data.source": fields.data_source.strip(),
        "model.base": fields.base_model.strip(),
        "register_model.name": fields.model_name.strip(),
    }
    given: dict[str, object] = {key: value for key, value in plain.items() if value}
    if (percents := percents_of(fields.canary_steps)) is not None:
        given["rollout.percents"] = percents
    config = load_config(platform, given | _overrides(fields.overrides), preset=fields.preset.strip() or None)
    if env.get(MLFLOW_RUN) and env.get("MLFLOW_TRACKING_URI"):
        tracking = config.tracking.model_copy(update={"uri": None})
        return config.model_copy(update={"tracking": tracking})
    return config


def percents_of(text: str) -> tuple[int, ...] | None:
    """The shares of a canary; None where the settings' hold, or none is wanted.

    Raises:
        ConfigError: they are no whole numbers.
    """
    if not text.strip() or is_off(text):
        return None
    try:
        return tuple(int(word) for word in text.replace(",", " ").split())
    except ValueError as error:
        raise ConfigError(
            f"canary_steps {text!r} are no whole percents; write 5,25,50, or {NO_ROLLOUT} to roll nothing out"
        ) from error


def is_off(canary_steps: str) -> bool:
    """Whether nothing is to be rolled out."""
    return canary_steps.strip().lower() == NO_ROLLOUT


def _overrides(text: str) -> dict[str, object]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"overrides {text!r} cannot be read ({error}); close the quotes") from error
    return dict(map(parse_override, words))
