"""Engines: where a model's replies come from.

Rule: importing this package loads neither torch nor an HTTP client. `open_engine` imports the engine that its argument
names, and nothing else.
"""

import json
from pathlib import Path
from typing import Final

from visionthink.engines.engine import (
    AnswerForm,
    Engine,
    HasPreparation,
    HasStreaming,
    Request,
    Sampling,
    known_fields,
    pruned_engine,
)
from visionthink.engines.scripted import Script, ScriptedEngine, ScriptLine
from visionthink.errors import ConfigError

__all__ = [
    "LOCAL",
    "AnswerForm",
    "Engine",
    "HasPreparation",
    "HasStreaming",
    "Request",
    "Sampling",
    "Script",
    "ScriptLine",
    "ScriptedEngine",
    "known_fields",
    "open_engine",
    "open_named",
    "pruned_engine",
]

LOCAL: Final = "transformers"
"""How settings name the engine that runs a model in this process."""
_FORMS: Final = (
    "transformers:FOLDER (a saved model), openai:http://HOST:PORT/v1?model=NAME (a server, or several separated by "
    "commas), or scripted:FILE.json (a list of replies)"
)


def open_engine(
    uri: str,
    *,
    batch_size: int = 32,
    device: str | None = None,
    processes: int = 1,
    api_key: str | None = None,
    timeout_s: float = 120.0,
    max_connections: int = 64,
    max_retries: int | None = None,
) -> Engine:
    """The engine that `uri` names.

    - `transformers:FOLDER` runs the model saved in FOLDER here; `batch_size` and `device` apply. With `processes` above
      1 that many processes hold a copy each, on the CPU and on a thread each.
    - `openai:http://HOST:PORT/v1?model=NAME` asks a server, or several that hold the same model (addresses separated
      by commas); `api_key`, `timeout_s`, `max_connections` (to each) and `max_retries` (None: as a stage needs, which
      waits for a server that is started again) apply.
    - `scripted:FILE.json` plays a JSON list of reply texts.

    Raises:
        ConfigError: `uri` has none of these forms, or there is nothing where it points.
    """
    kind, _, place = uri.partition(":")
    match kind:
        case "transformers" if place:
            return _open_transformers(place, batch_size, device, processes)
        case "openai" if place:
            return _open_openai(place, api_key, timeout_s, max_connections, max_retries)
        case "scripted" if place:
            return _open_scripted(Path(place))
        case _:
            raise ConfigError(f"engine {uri!r} is none of these: {_FORMS}")


def open_named(uri: str, folder: Path) -> Engine:
    """The engine that the settings name: `transformers` runs the model in `folder`, anything else is an address."""
    return open_engine(f"transformers:{folder}" if uri == LOCAL else uri)


def _open_transformers(folder: str, batch_size: int, device: str | None, processes: int) -> Engine:
    if processes > 1:
        if device not in {None, "cpu"}:
            raise ConfigError(f"{processes} processes would each want {device}; give 1, or leave the device out")
        from visionthink.engines.local_pool import LocalPool

        return LocalPool(Path(folder), num_processes=processes, batch_size=batch_size)
    from visionthink.engines.transformers_local import TransformersEngine

    return TransformersEngine.load(folder, batch_size=batch_size, device=device)


def _open_openai(
    url: str, api_key: str | None, timeout_s: float, max_connections: int, max_retries: int | None
) -> Engine:
    from visionthink.engines.chat_client import open_client
    from visionthink.engines.openai_chat import OpenAIChatEngine

    client = open_client(
        url, api_key=api_key, timeout_s=timeout_s, max_connections=max_connections, max_retries=max_retries
    )
    return OpenAIChatEngine(client)


def _open_scripted(path: Path) -> Engine:
    try:
        lines = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the script {path} cannot be read: {error}") from error
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ConfigError(f"the script {path} must be a JSON list of texts")
    return ScriptedEngine(lines)
