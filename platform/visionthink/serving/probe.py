"""What probes and scrapes ask for: the Open Inference Protocol's health and metadata, and the metrics.

Rule: these are answered as long as the process lives, without a key, and tell nothing of what is asked.
Source: the Open Inference Protocol (KServe's V2), paths `/v2`, `/v2/health/*` and `/v2/models/NAME[/ready]`.
"""

from typing import Final

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from visionthink import __version__
from visionthink.serving.api_error import no_such_model
from visionthink.serving.readiness import Readiness
from visionthink.serving.schema import ErrorBody

_PROBES: Final = frozenset({"/healthz", "/metrics"})


_NOT_READY: Final[dict[int | str, dict[str, object]]] = {
    503: {"description": "The engine does not answer, or not for this model, or the server is ending."}
}
_NOT_SERVED: Final[dict[int | str, dict[str, object]]] = {
    404: {"model": ErrorBody, "description": "Another model is served here."}
}


def is_probe(path: str) -> bool:
    """Whether the path is one of these."""
    return path in _PROBES or path == "/v2" or path.startswith("/v2/")


def add_probes(app: FastAPI, readiness: Readiness, model_name: str, registry: CollectorRegistry) -> None:
    """Add the routes to `app`."""

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/v2/health/ready", responses=_NOT_READY)
    async def ready() -> JSONResponse:
        return _told({}, await readiness.is_ready())

    @app.get("/v2")
    async def server() -> dict[str, object]:
        return {"name": "visionthink", "version": __version__, "extensions": []}

    @app.get("/v2/models/{name:path}/ready", response_model=None, responses={**_NOT_READY, **_NOT_SERVED})
    async def model_ready(name: str) -> JSONResponse:
        if name != model_name:
            return no_such_model(name, model_name).response()
        return _told({"name": name}, await readiness.is_ready())

    @app.get("/v2/models/{name:path}", response_model=None, responses=_NOT_SERVED)
    async def model(name: str) -> JSONResponse:
        if name != model_name:
            return no_such_model(name, model_name).response()
        # Questions come in by OpenAI's API alone, so there are no tensors to tell of.
        return JSONResponse({"name": name, "versions": [], "platform": "visionthink", "inputs": [], "outputs": []})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def scrape() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _told(facts: dict[str, object], is_ready: bool) -> JSONResponse:
    return JSONResponse({**facts, "ready": is_ready}, status_code=200 if is_ready else 503)
