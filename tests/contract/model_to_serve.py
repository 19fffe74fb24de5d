"""Which model the tests of real servers serve."""

import os
from pathlib import Path

import pytest

from visionthink.errors import ConfigError
from visionthink.model.bundled import bundled_path


def model_to_serve() -> Path:
    """The folder that `VISIONTHINK_TRAINED_MODEL` names, or the base model that ships."""
    if named := os.environ.get("VISIONTHINK_TRAINED_MODEL"):
        return Path(named)
    try:
        return bundled_path()
    except ConfigError:
        pytest.skip("the embedded base model is not in this checkout; `visionthink base-model build` makes it")
