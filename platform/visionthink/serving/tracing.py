"""Spans of a request: the request itself, each turn of its episode, and each view that was cut for one.

Rule: tracing is an extra, and while it is off a request needs nothing of OpenTelemetry. A client's trace is joined, and
the engine's joins ours. Spans are named `request`, `turn-1`, `turn-2` ... and `resize`.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from PIL import Image
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visionthink.core.episode import Event, ModelReply
from visionthink.core.reply import parse_reply
from visionthink.engines import Request
from visionthink.errors import ConfigError
from visionthink.serving.schema import CHAT_PATH
from visionthink.spans import Fact, Span, span, traced_by

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

TracingMode: TypeAlias = Literal["auto", "on", "off"]
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SERVICE: Final = "visionthink"


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where spans go."""

    provider: "TracerProvider"

    async def aclose(self) -> None:
        """Send what is left, and end."""
        await asyncio.to_thread(self.provider.shutdown)


def open_tracing(mode: TracingMode, env: Mapping[str, str]) -> Tracing | None:
    """Spans to the collector that OpenTelemetry's own variables name; None where there is none to be.

    `auto` sends them where OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) is set, `on` in any case: to this
    machine's port 4318 where nothing else is named.

    Raises:
        ConfigError: the extra is not installed.
    """
    if mode == "off" or (mode == "auto" and not any(env.get(name) for name in _ENDPOINTS)):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            f"traces are asked for, and {error.name} is not installed; install visionthink[tracing], or set "
            'serve.tracing="off"'
        ) from error
    named = {} if env.get("OTEL_SERVICE_NAME") else {"service.name": _SERVICE}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


class TracingMiddleware:
    """Makes each question a span, within the client's trace if it brought one."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        """Wrap `app`."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app = app
        self._tracer = tracing.provider.get_tracer(_SERVICE)
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] != CHAT_PATH:
            await self._app(scope, receive, send)
            return
        from opentelemetry import context

        state = scope.setdefault("state", {})
        token = context.attach(self._propagator.extract(dict(Headers(scope=scope))))
        try:
            traced_by(self._tracer)
            with span("request", {"http.request.method": scope["method"], "url.path": scope["path"]}) as found:
                await self._app(scope, receive, _telling(found, send))
                found.tell({"visionthink.request_id": state.get("request_id"), "visionthink.key": state.get("caller")})
        finally:
            context.detach(token)


def _telling(found: Span, send: Send) -> Send:
    async def send_told(message: Message) -> None:
        if message["type"] == "http.response.start":
            found.tell({"http.response.status_code": message["status"]})
            if message["status"] >= 500:
                found.fail(f"HTTP {message['status']}")
        await send(message)

    return send_told


async def traced_turn(number: int, request: Request, work: Awaitable[Event]) -> Event:
    """The event of a turn, which `work` waits for, as a span of its own."""
    with span(f"turn-{number}") as found:
        if found.is_seen:
            found.tell(await _asked(number, request))
        event = await work
        if found.is_seen:
            found.tell(_answered(event))
        if not isinstance(event, ModelReply):
            found.fail(type(event).__name__)
        return event


async def _asked(number: int, request: Request) -> dict[str, Fact | None]:
    views = [view for message in request.messages for view in message.views]
    facts: dict[str, Fact | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.max_tokens": request.sampling.max_tokens,
        "gen_ai.request.temperature": request.sampling.temperature,
        "visionthink.turn": number,
        "visionthink.num_views": len(views),
        "visionthink.visual_tokens": sum(view.visual_tokens for view in views),
    }
    if views:
        facts |= {"visionthink.view.width": views[-1].size.width, "visionthink.view.height": views[-1].size.height}
        for number, picture in enumerate(request.pictures):
            name = f"visionthink.picture.{number}" if number else "visionthink.picture"
            facts |= {f"{name}.width": picture.width, f"{name}.height": picture.height}
            facts[f"{name}.hash"] = await asyncio.to_thread(_hash, picture)
    return facts


def _answered(event: Event) -> dict[str, Fact | None]:
    if not isinstance(event, ModelReply):
        return {"error.type": type(event).__name__}
    return {
        "gen_ai.response.finish_reason": event.finish_reason.value,
        "gen_ai.usage.input_tokens": event.num_prompt_tokens,
        "gen_ai.usage.output_tokens": event.num_reply_tokens,
        "visionthink.decision": type(parse_reply(event.text)).__name__.removesuffix("Reply").lower(),
    }


def _hash(picture: Image.Image) -> str:
    """Of the pixels: the same picture has the same, whatever file it came in."""
    return hashlib.blake2b(picture.tobytes(), digest_size=8).hexdigest()
