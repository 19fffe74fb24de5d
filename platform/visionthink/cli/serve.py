"""The command `serve`: a model behind an OpenAI-compatible endpoint until it is stopped."""

import contextlib
import logging
import logging.config
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from visionthink.cli.settings import RUNS_DIR, Settings, takes_settings
from visionthink.config import RunConfig
from visionthink.engines import LOCAL
from visionthink.errors import DataError
from visionthink.network import url_host
from visionthink.runs.choice import latest_run
from visionthink.runs.folder import RunFolder

_log = logging.getLogger(__name__)

_Model = Annotated[Path | None, typer.Option("--model", help="Folder of a model. Default: the run's.", metavar="DIR")]
_Host = Annotated[str | None, typer.Option("--host", help="Address to listen on.")]
_OPTIONS: Final = ("config", "set_", "run_dir")
"""The common options that mean something to a model that is trained."""
_EngineUri = Annotated[
    str | None,
    typer.Option("--engine", help="Servers that hold the model: openai:http://HOST:PORT/v1?model=NAME.", metavar="URI"),
]
_Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(takes_settings(serve, only=_OPTIONS))


def serve(
    settings: Settings, model: _Model = None, engine: _EngineUri = None, host: _Host = None, port: _Port = None
) -> None:
    """Serve a trained model: /v1/chat/completions, /v1/models, /v2/health, /metrics."""
    given = {"serve.engine": engine, "serve.host": host, "serve.port": port}
    settings = settings.with_overrides({key: value for key, value in given.items() if value is not None})
    folder = RunFolder(settings.run_dir) if settings.run_dir is not None else latest_run(RUNS_DIR)
    config = settings.resolve(folder.config() if folder is not None and model is None else None)
    _serve(model or _model_of(folder), config)


def _model_of(folder: RunFolder | None) -> Path:
    """The model that a run registered, or else trained or was given to judge."""
    if folder is None:
        raise DataError(f"there is no run in {RUNS_DIR}/ yet; start one with `visionthink run`, or name a --model")
    places = [folder.registered_model, folder.trained_model]
    judged = folder.config().evaluate.model
    for path in places if judged is None else [*places, Path(judged)]:
        if (path / "config.json").is_file():
            return path
    raise DataError(f"run {folder.path} has no trained model yet; finish it with `visionthink run`, or name a --model")


def _serve(model: Path, config: RunConfig) -> None:
    from visionthink.serving import serve as serve_app
    from visionthink.serving.json_log import log_config
    from visionthink.serving.opening import open_app
    from visionthink.stage import serving_engine, set_up_torch

    if config.serve.engine == LOCAL:
        set_up_torch(config.model.threads)
    app = open_app(model, config, lambda uri, folder: serving_engine(uri, folder, config, os.environ), os.environ)
    address = config.serve
    place = f"http://{url_host(address.host)}:{address.port}/v1" if address.port else f"a free port of {address.host}"
    logging.config.dictConfig(log_config(address.log_format))
    _log.info("serving %s as %r at %s", model, address.model_name, place)
    with contextlib.suppress(KeyboardInterrupt):  # how a server is meant to be ended
        serve_app(app, host=address.host, port=address.port, drain_s=address.drain_s, log_format=address.log_format)
