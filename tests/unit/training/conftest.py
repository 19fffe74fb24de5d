from pathlib import Path

import pytest
from tests.fakes.parrot_model import save_parrot


@pytest.fixture(scope="session")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model with something to learn."""
    return save_parrot(tmp_path_factory.mktemp("parrot") / "model")
