"""lmms-eval in its own environment, and a tiny model served over HTTP for it to ask."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.contract.engines.chat_server import chat_server
from tests.contract.model_to_serve import model_to_serve

from visionthink.engines.transformers_local import TransformersEngine
from visionthink.serving.server import background_server

MODEL_NAME: Final = "tiny"


class Server(NamedTuple):
    """A running server and the model behind it."""

    uri: str
    """As `open_engine` takes it."""
    folder: Path


@pytest.fixture(scope="session")
def folder() -> Path:
    """The model that is served."""
    return model_to_serve()


@pytest.fixture(scope="session")
def server(folder: Path) -> Iterator[Server]:
    """The server of the model alone, without a loop; ended with the session."""
    engine = TransformersEngine.load(folder, batch_size=32)
    with background_server(chat_server(engine), ready_path=None) as url:
        yield Server(f"openai:{url}/v1?model={engine.model}", folder)
