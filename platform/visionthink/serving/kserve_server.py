"""The gateway of a KServe pod: the loop's app inside KServe's own model server.

Rule: KServe brings the process (its flags, its signals, its metrics, readiness by model name, a graceful end), the app
brings every path that it has itself, errors and request ids included. `kserve.protocol.rest.openai` is never used: it
imports one version of vLLM only and cannot pass a stream on. The container runs this module:
`python -m visionthink.serving.kserve_server --model_name=NAME --predictor_host=localhost:8085`.
"""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import kserve
from fastapi import FastAPI
from kserve.model_server import app as kserve_app
from kserve.model_server import parser as kserve_flags
from prometheus_client import REGISTRY
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from visionthink.config import RunConfig, load_config, override_config, parse_override
from visionthink.engines import open_engine
from visionthink.errors import ConfigError, VisionThinkError
from visionthink.serving.opening import open_app

MODEL_FOLDER = Path("/mnt/models")
"""Where KServe puts the model."""


_PER_REQUEST: Final = ("kserve.trace", "uvicorn.access")
"""Loggers that write lines for every request, probes included; what is worth counting is under /metrics."""


class OwnPaths(BaseRoute):
    """The paths of an app, answered by the app as a whole: with its middleware and its own errors."""

    def __init__(self, app: FastAPI, others: Sequence[BaseRoute]) -> None:
        """Answer with `app`; `others` are the server's own routes, which it adds to when it starts."""
        self._app = app
        self._others = others

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the app has the path; with another method, where nobody else has it with this one."""
        if scope["type"] == "lifespan":
            return Match.NONE, {}
        own = _best(self._app.router.routes, scope)
        is_ours = own is Match.FULL or (
            own is Match.PARTIAL and _best([one for one in self._others if one is not self], scope) is not Match.FULL
        )
        return (Match.FULL if is_ours else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer."""
        await self._app(scope, receive, send)


def _best(routes: Sequence[BaseRoute], scope: Scope) -> Match:
    return max((route.matches(scope)[0] for route in routes), key=lambda found: found.value, default=Match.NONE)


class LoopModel(kserve.Model):  # type: ignore[misc]  # kserve ships no types
    """The loop as KServe lists it; it answers under /v1/chat/completions alone."""

    def __init__(self, name: str) -> None:
        """Ready from the start: whether the engine is, `/v2/health/ready` says."""
        super().__init__(name)
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Refuse: KServe's own protocols have no place for a conversation."""
        raise kserve.errors.InvalidInput("this model answers POST /v1/chat/completions only")


def gateway_config(flags: argparse.Namespace) -> RunConfig:
    """The settings that the flags of a pod mean.

    Raises:
        ConfigError: no predictor is named, or a setting is refused.
    """
    if not flags.predictor_host:
        raise ConfigError("--predictor_host is missing; name vLLM's, as --predictor_host=localhost:8085")
    scheme = "https" if flags.predictor_use_ssl else "http"
    config = override_config(load_config(flags.settings), dict(map(parse_override, flags.set or [])))
    own = {
        "serve.model_name": flags.model_name,
        "serve.engine": f"openai:{scheme}://{flags.predictor_host}/v1?model={flags.model_name}",
        "serve.port": flags.http_port,
    }
    return override_config(config, own)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """KServe's flags and the gateway's own."""
    parser = argparse.ArgumentParser(prog="gateway", description=__doc__, parents=[kserve_flags], allow_abbrev=False)
    parser.add_argument("--model_dir", type=Path, default=MODEL_FOLDER, help="folder of the model, with its card")
    parser.add_argument("--settings", type=Path, help="TOML file with settings")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help="a setting; repeatable")
    parser.add_argument("--drain_s", type=int, default=60, help="seconds for what is in flight when the pod ends")
    return parser.parse_args(arguments)


def install(app: FastAPI) -> None:
    """Let KServe's server answer with `app` wherever `app` has the path; `app` starts and ends with it."""
    kserve_app.router.routes.insert(0, OwnPaths(app, kserve_app.router.routes))
    kserve_app.router.lifespan_context = lambda _: app.router.lifespan_context(app)


def run(flags: argparse.Namespace, env: Mapping[str, str]) -> None:
    """Serve until SIGTERM, then finish what is in flight.

    Raises:
        UserError: a flag or the model's card cannot be used.
    """
    config = gateway_config(flags)
    open_predictor = partial(
        open_engine,
        api_key=env.get("OPENAI_API_KEY"),
        timeout_s=config.model.timeout_s,
        max_connections=config.serve.max_in_flight,
    )
    install(open_app(flags.model_dir, config, lambda uri, _: open_predictor(uri), registry=REGISTRY))
    # One process and no gRPC: the loop speaks HTTP only, and its counts belong to one registry.
    server = kserve.ModelServer(
        http_port=config.serve.port, workers=1, enable_grpc=False, grace_period=flags.drain_s, registered_models=None
    )
    for name in _PER_REQUEST:
        logging.getLogger(name).setLevel(logging.WARNING)
    server.start([LoopModel(config.serve.model_name)])


def main() -> None:
    """Run the command on the line and exit."""
    try:
        run(parse_flags(sys.argv[1:]), os.environ)
    except VisionThinkError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
