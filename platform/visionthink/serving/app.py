"""The loop behind the OpenAI API, as an ASGI app without any server framework around it.

Rule: stateless and wired from arguments. The same app runs over the engine in this process, beside vLLM in a KServe pod
(which adds its own server around these routes), and in tests.
"""

import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol as Interface
from typing import runtime_checkable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException

from visionthink import __version__
from visionthink.core.excerpt import excerpt
from visionthink.core.first_look import FirstLookMode, FirstLookRule
from visionthink.core.geometry import ViewRule
from visionthink.core.protocol import Protocol
from visionthink.core.tool import ToolBox
from visionthink.engines import Engine
from visionthink.episodes.prompting import Prompting, ViewPolicy
from visionthink.errors import BackendError
from visionthink.serving.admission import Admission
from visionthink.serving.api_error import ApiError, internal_error, no_such_model
from visionthink.serving.chat import ChatEndpoint
from visionthink.serving.connection import REQUEST_ID_HEADER, RequestIdMiddleware
from visionthink.serving.loop import Loop, ServingLimits
from visionthink.serving.metrics import ServingMetrics
from visionthink.serving.remote import RemotePictures
from visionthink.serving.schema import CHAT_PATH, ErrorBody, chat_responses, document

_log = logging.getLogger(__name__)


@runtime_checkable
class HasReadiness(Interface):
    """An engine that may be unreachable."""

    async def is_ready(self) -> bool:
        """Whether a request would be answered now."""
        ...


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
    registry: CollectorRegistry | None = None,
    clock: Callable[[], float] = time.time,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> FastAPI:
    """The app that answers as `model_name`; it closes `engine` when it shuts down.

    `protocol`, `rule` and `toolbox` must be those of training; `direct_protocol` is used when a request fixes the view
    (`extra_body={"adaptive": {"policy": "always_low"}}`) or brings no picture. `max_turns`, `policy` and
    `first_look_mode` hold for requests that name none; `first_look` decides in the mode `auto`. `remote` fetches
    pictures behind URLs; without it they are refused. Metrics go to `registry`; None makes one. `clock` gives Unix
    time.
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
    admission = Admission(max_requests=limits.max_in_flight, max_bytes=limits.max_held_bytes)
    metrics = ServingMetrics(registry or CollectorRegistry(), admission)
    loop = Loop(engine, prompting, limits, policy=policy, first_look=first_look_mode, remote=remote)
    app = FastAPI(title="VisionThink", version=__version__, lifespan=_closing(engine, loop))
    app.add_middleware(RequestIdMiddleware, new_id=new_id)
    _add_error_shapes(app, metrics)
    _add_models(app, model_name, created_s=int(clock()))
    _add_health(app, engine, metrics.registry)
    chat = ChatEndpoint(loop, admission, metrics, model_name=model_name, limits=limits, clock=clock)
    app.add_api_route(CHAT_PATH, chat, methods=["POST"], response_model=None, responses=chat_responses())
    document(app)
    return app


def _closing(engine: Engine, loop: Loop) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await loop.aclose()
        await engine.aclose()

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


def _add_health(app: FastAPI, engine: Engine, registry: CollectorRegistry) -> None:
    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/v2/health/ready", responses={503: {"description": "The engine does not answer, or not for this model."}})
    async def ready() -> JSONResponse:
        try:
            is_ready = await engine.is_ready() if isinstance(engine, HasReadiness) else True
        except BackendError:
            is_ready = False
        return JSONResponse({"ready": is_ready}, status_code=200 if is_ready else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def scrape() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
