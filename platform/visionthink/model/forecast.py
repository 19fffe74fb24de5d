"""The forecast beside a model's weights: how likely it is to call, before it has seen anything.

Rule: plain JSON, so that reading it runs nothing and needs no library. A model without it is served and judged without
the shortcut; a file that is damaged is never taken for none.
"""

import json
from pathlib import Path
from typing import Final

from visionthink.core.first_look import CallForecast
from visionthink.core.json_value import Json
from visionthink.errors import DataError
from visionthink.storage.json_file import read_json

FORECAST_NAME: Final = "first_look.json"
"""The file in a model's folder."""


def read_forecast(model: Path) -> CallForecast | None:
    """The forecast of the model in a folder; None where it has none.

    Raises:
        DataError: the file is damaged.
    """
    path = model / FORECAST_NAME
    if not path.exists():
        return None
    try:
        return CallForecast.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, DataError) as error:
        raise DataError(
            f"the model's forecast {path} cannot be used ({error}); take a whole copy of the model, or remove the file "
            "to do without the first-look shortcut"
        ) from error


def forecast_files(path: Path) -> dict[str, dict[str, Json]]:
    """What a model's folder gets of the forecast that labelling left in `path`: nothing where it left none."""
    if not path.exists():
        return {}
    value = read_json(path)
    CallForecast.from_dict(value)
    assert isinstance(value, dict)
    return {FORECAST_NAME: value}
