"""Settings that ship with the package under a name.

Rule: a preset is a TOML file of the same form as a user's own, so `visionthink preset show NAME` is a file to start
from; it holds what differs from the defaults, and beside each number where that comes from.
"""

from importlib.resources import files
from typing import Final

from visionthink.errors import ConfigError

_SUFFIX: Final = ".toml"
_FOLDER: Final = files("visionthink.config") / "presets"


def preset_names() -> tuple[str, ...]:
    """All presets, in the order of their names."""
    names = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def preset_text(name: str) -> str:
    """The file of a preset.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in preset_names():
        raise ConfigError(f"there is no preset {name!r}; choose one of {', '.join(preset_names())}")
    return (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def preset_title(name: str) -> str:
    """What a preset is for: the comment that its file begins with, up to the first stop."""
    return preset_text(name).splitlines()[0].lstrip("# ").partition(". ")[0].rstrip(".")
