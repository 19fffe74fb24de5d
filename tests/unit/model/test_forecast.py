import json
from pathlib import Path

import pytest

from visionthink.core.first_look import CallForecast
from visionthink.errors import DataError
from visionthink.model.forecast import FORECAST_NAME, forecast_files, read_forecast

FORECAST = CallForecast(bias=-1.5, weights={"read the": 2.0})


def test_forecast_of_labelling_comes_to_lie_in_the_model_folder(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({**FORECAST.to_dict(), "measured": {"num_samples": 3}}))
    for name, value in forecast_files(kept).items():
        (tmp_path / name).write_text(json.dumps(value))
    assert read_forecast(tmp_path) == FORECAST


def test_model_without_a_forecast_has_none(tmp_path: Path) -> None:
    assert read_forecast(tmp_path) is None
    assert forecast_files(tmp_path / "kept.json") == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1, "bias": NaN, "weights": {}}', "\xff", '{"version": 7}'])
def test_forecast_that_is_damaged_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / FORECAST_NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"first_look.json cannot be used .* take a whole copy .* or remove the file"):
        read_forecast(tmp_path)
