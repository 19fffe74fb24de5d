"""Which model the tests of real servers serve."""

import os
from pathlib import Path

from visionthink.model.bundled import bundled_path


def model_to_serve() -> Path:
    """The folder that `VISIONTHINK_TRAINED_MODEL` names, or the base model that ships."""
    if named := os.environ.get("VISIONTHINK_TRAINED_MODEL"):
        return Path(named)
    return bundled_path()
