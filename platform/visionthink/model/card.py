"""The card beside a model's weights: with which texts, tools and sizes it is asked.

Rule: a model is asked as it was trained, wherever it is judged or served. Importing this module loads no torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from visionthink.config import RunConfig, parse_config
from visionthink.errors import DataError

CARD_NAME: Final = "visionthink.json"
"""The file beside the weights with the settings of a model's conversations."""
_SECTIONS: Final = ("episode", "view")


def model_card(config: RunConfig) -> dict[str, object]:
    """The settings with which a model must be asked."""
    tree = config.model_dump(mode="json")
    return {section: tree[section] for section in _SECTIONS}


def with_card(model: Path, config: RunConfig) -> RunConfig:
    """The settings with those of the card in `model` in place of their own; unchanged where there is no card.

    Raises:
        UserError: the card is not of this version.
    """
    path = model / CARD_NAME
    if not path.is_file():
        return config
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"the model's card {path} cannot be read ({error}); take a whole copy of the model") from error
    tree: dict[str, Any] = config.model_dump(mode="json")
    if isinstance(card, Mapping):
        tree |= {section: card[section] for section in _SECTIONS if section in card}
    return parse_config(tree)
