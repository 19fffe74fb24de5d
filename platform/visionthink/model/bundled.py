"""The base checkpoints that ship with the package, and other folders that stand in for them.

Rule: nobody else knows where they lie. They are data of the package, made by `visionthink base-model build`. Importing
this module loads no torch.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple

from visionthink.errors import ConfigError
from visionthink.storage import check_readable

EMBEDDED: Final = "embedded"
"""How settings name the bundled model."""
EMBEDDED_REGION: Final = "embedded-region"
"""The one that looks at quarters of a picture."""
EMBEDDED_SCATTERED: Final = "embedded-scattered"
"""The one that looks at overlapping windows."""
SHIPPED: Final = (EMBEDDED, EMBEDDED_REGION, EMBEDDED_SCATTERED)


class _Shipped(NamedTuple):
    """A bundled base model."""

    folder: Path
    option: str
    """Of the command that builds it."""


_SHIPPED: Final = {
    EMBEDDED: _Shipped(Path(__file__).parent / "bundled", ""),
    EMBEDDED_REGION: _Shipped(Path(__file__).parent / "bundled_region", " --preset region"),
    EMBEDDED_SCATTERED: _Shipped(Path(__file__).parent / "bundled_scattered", " --preset scattered"),
}


def bundled_path(name: str = EMBEDDED) -> Path:
    """The folder of a bundled base model, one of `SHIPPED`.

    Raises:
        ConfigError: this installation came without it.
    """
    folder, option = _SHIPPED[name]
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"the {name} base model is not in {folder}: this installation came without it. Build it with "
            f"`visionthink base-model build --out {folder}{option}`, or name another model with --set "
            "model.base=FOLDER"
        )
    return folder


def base_folder(name: str) -> Path:
    """The folder of the base model that the settings name: one of `SHIPPED`, or a path.

    Raises:
        ConfigError: there is no model.
    """
    folder = bundled_path(name) if name in SHIPPED else Path(name)
    check_model(folder)
    return folder


def check_model(folder: Path) -> None:
    """Refuse a folder that holds no model, or one with a file that this user may not read.

    Raises:
        ConfigError: there is no config.json in it.
        PermissionDeniedError: naming the file; loading it would report a file that does not exist.
    """
    check_readable(folder)
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} holds no model (no config.json); give the folder of a saved Qwen2.5-VL model")


def num_layers(folder: Path) -> int | None:
    """How many layers the language model in `folder` has, as its config.json says; None where that says nothing."""
    try:
        tree = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # loading it says what is wrong
    # transformers 5 keeps the language model's settings apart, older files have them at the top.
    found = tree.get("text_config", tree).get("num_hidden_layers") if isinstance(tree, dict) else None
    return found if isinstance(found, int) else None
