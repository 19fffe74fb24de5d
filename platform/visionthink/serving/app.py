"""The loop behind the OpenAI API, as an ASGI app without any server framework around it.

Rule: stateless and wired from arguments. The same app runs over the engine in this process, beside vLLM in a KServe pod
(which adds its own server around these routes), and in tests.
"""

import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from visionthink import __version__
from visionthink.core.excerpt import excerpt
from visionthink.core.first_look import FirstLookMode, FirstLookRule
from visionthink.core.geometry import ViewRule
from visionthink.core.protocol import Protocol
from visionthink.core.tool import ToolBox
from visionthink.engines import Engine
from visionthink.episodes.prompting import Prompting, ViewPolicy
from visionthink.serving.access import AccessMiddleware
from visionthink.serving.admission import Admission
from visionthink.serving.api_error import ApiError, internal_error, no_such_model
from visionthink.serving.auth import KeyFile
from visionthink.serving.caller import CallerMiddleware
from visionthink.serving.chat import ChatEndpoint
from visionthink.serving.connection import REQUEST_ID_HEADER, RequestIdMiddleware
from visionthink.serving.drain import Drain, DrainMiddleware
from visionthink.serving.loop import Loop, ServingLimits
from visionthink.serving.metrics import ServingMetrics
from visionthink.serving.probe import add_probes, is_probe
from visionthink.serving.quota import QuotaRule
from visionthink.serving.readiness import Readiness
from visionthink.serving.remote import RemotePictures
from visionthink.serving.schema import CHAT_PATH, ErrorBody, chat_responses, document
from visionthink.serving.tracing import Tracing, TracingMiddleware

_log = logging.getLogger(__name__)

_Lifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    engine: Engine,
    *,
    model_name: str,
    protocol: Protocol,
    direct_protocol: Protocol,
    rule: ViewRule,
    toolbox: ToolBox,
    max_turns: int = 2,
    policy: ViewPolicy = "auto",
    first_look: FirstLookRule | None = None,
    first_look_mode: FirstLookMode = "off",
    remote: RemotePictures | None = None,
    limits: ServingLimits | None = None,
    keys: KeyFile | None = None,
    quota: QuotaRule | None = None,
    tracing: Tracing | None = None,
    registry: CollectorRegistry | None = None,
    clock: Callable[[], float] = time.time,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> FastAPI:
    """The app that answers as `model_name`; it closes `engine` when it shuts down.

    `protocol`, `rule` and `toolbox` must be those of training; `direct_protocol` is used when a request fixes the view
    (`extra_body={"adaptive": {"policy": "always_low"}}`) or brings no picture. `max_turns`, `policy` and
    `first_look_mode` hold for requests that name none; `first_look` decides in the mode `auto`. `remote` fetches
    pictures behind URLs; without it they are refused. With `keys`, each request has to bring one; without, `quota`
    holds for all requests together. `tracing`, which the app closes, takes its spans. Metrics go to `registry`; None
    makes one. `clock` gives Unix time. Whoever runs the app ends it through `drain_of(app)`.
    """
    limits = limits or ServingLimits()
    prompting = Prompting(
        protocol=protocol,
        direct_protocol=direct_protocol,
        rule=rule,
        toolbox=toolbox,
        max_turns=max_turns,
        first_look=first_look or FirstLookRule(),
    )
    admission = Admission(
        max_requests=limits.max_in_flight,
        max_bytes=limits.max_held_bytes,
        max_queued=limits.max_queued,
        max_wait_s=limits.max_wait_s,
        timeout_s=limits.timeout_s,
    )
    drain = Drain(admission.cut)
    metrics = ServingMetrics(registry or CollectorRegistry(), admission)
    loop = Loop(engine, prompting, limits, policy=policy, first_look=first_look_mode, remote=remote)
    app = FastAPI(title="VisionThink", version=__version__, lifespan=_closing(engine, loop, tracing))
    app.state.drain = drain
    # The last one added is the outermost.
    app.add_middleware(
        CallerMiddleware,
        keys=keys,
        rule=quota or QuotaRule(),
        on_refused=metrics.count_error,
        on_asked=metrics.count_key,
    )
    app.add_middleware(DrainMiddleware, drain=drain, spared=is_probe, on_refused=metrics.count_error)
    if tracing is not None:
        app.add_middleware(TracingMiddleware, tracing=tracing)
    app.add_middleware(AccessMiddleware, spared=is_probe, on_first_byte=metrics.count_first_byte)
    app.add_middleware(RequestIdMiddleware, new_id=new_id)
    _add_error_shapes(app, metrics)
    _add_models(app, model_name, created_s=int(clock()))
    add_probes(app, Readiness(engine, drain), model_name, metrics.registry)
    chat = ChatEndpoint(loop, admission, metrics, model_name=model_name, limits=limits, clock=clock)
    app.add_api_route(CHAT_PATH, chat, methods=["POST"], response_model=None, responses=chat_responses())
    document(app)
    return app


def _closing(
    engine: Engine, loop: Loop, tracing: Tracing | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await loop.aclose()
        await engine.aclose()
        if tracing is not None:
            await tracing.aclose()

    return lifespan


def _add_error_shapes(app: FastAPI, metrics: ServingMetrics) -> None:
    """Errors that no endpoint raised itself get the same body."""

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        text = f"{excerpt(f'{request.method} {request.url.path}')}: {error.detail}; /openapi.json lists what is served"
        return ApiError(error.status_code, text, code="no_such_route").response()

    async def on_bug(request: Request, error: Exception) -> JSONResponse:
        # This handler stands outside of the middleware that adds the id to every other response.
        request_id = str(request.scope.get("state", {}).get("request_id", ""))
        _log.error("request %s failed", request_id, exc_info=error)
        told = internal_error(request_id)
        metrics.count_error(told)
        response = told.response()
        response.headers[REQUEST_ID_HEADER] = request_id
        return response

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_bug)


def _add_models(app: FastAPI, model_name: str, *, created_s: int) -> None:
    model = {"id": model_name, "object": "model", "created": created_s, "owned_by": "visionthink"}

    @app.get("/v1/models")
    async def models() -> dict[str, object]:
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{name:path}", response_model=None, responses={404: {"model": ErrorBody}})
    async def one_model(name: str) -> dict[str, object] | JSONResponse:
        return {**model} if name == model_name else no_such_model(name, model_name).response()
