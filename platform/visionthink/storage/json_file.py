"""JSON files of our own making, read back."""

import json
from pathlib import Path

from visionthink.core.json_value import Json
from visionthink.errors import DataError


def read_json(path: Path) -> Json:
    """The JSON in a file that this package wrote.

    Raises:
        DataError: it cannot be read.
    """
    try:
        value: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); remove it, then run the same command again") from error
    return value
