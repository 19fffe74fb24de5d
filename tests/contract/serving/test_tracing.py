"""Spans of a request, as OpenTelemetry's own SDK keeps them."""

import subprocess
import sys
from collections.abc import Iterator, Mapping

import httpx
import pytest
from fastapi import FastAPI, Request
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.contract.engines.chat_server import chat_server
from tests.contract.serving.held import until
from tests.contract.serving.served import Served, question, serving, twice

from visionthink.core.episode import BackendFailed
from visionthink.engines import ScriptedEngine, open_engine
from visionthink.errors import ConfigError
from visionthink.serving import background_server
from visionthink.serving.tracing import Tracing, open_tracing
from visionthink.spans import span

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Kept:
    """A provider that keeps its spans."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(provider)

    def spans(self) -> list[ReadableSpan]:
        return sorted(self.exporter.get_finished_spans(), key=lambda found: found.start_time or 0)

    def named(self, name: str) -> ReadableSpan:
        (found,) = [found for found in self.spans() if found.name == name]
        return found


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def upstream() -> Iterator[tuple[str, list[str]]]:
    """A server, and the traces that its requests belong to."""
    app: FastAPI = chat_server(ScriptedEngine(twice))
    seen: list[str] = []

    @app.middleware("http")
    async def note(request: Request, call_next):  # type: ignore[no-untyped-def]
        if request.url.path.endswith("completions"):
            seen.append(request.headers.get("traceparent", ""))
        return await call_next(request)

    with background_server(app, ready_path=None) as url:
        yield f"openai:{url}/v1?model=scripted", seen


async def asked(served: Served, headers: Mapping[str, str] | None = None, **fields: object) -> httpx.Response:
    body = {"model": "tiny-v1", "messages": [question()], **fields}
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.post(f"{served.url}/v1/chat/completions", json=body, headers=headers)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_is_a_span_with_its_turns_and_views(
    kept: Kept, upstream: tuple[str, list[str]], stream: bool
) -> None:
    uri, seen = upstream
    with serving(open_engine(uri), tracing=kept.tracing) as served:
        got = await asked(served, {"traceparent": PARENT, "x-request-id": "r1"}, stream=stream)
        await until(lambda: any(found.name == "request" for found in kept.spans()))
    assert got.status_code == 200
    names = sorted(found.name for found in kept.spans())
    assert names == ["request", "resize", "resize", "turn-1", "turn-2"]
    request, first, second = (kept.named(name) for name in ("request", "turn-1", "turn-2"))
    assert all(format(found.context.trace_id, "032x") == TRACE_ID for found in kept.spans() if found.context)
    assert request.parent is not None and format(request.parent.span_id, "016x") == "b7ad6b7169203331"
    assert request.context is not None
    for turn in (first, second):
        assert turn.parent is not None and turn.parent.span_id == request.context.span_id
    assert request.attributes is not None and first.attributes is not None and second.attributes is not None
    assert request.attributes["visionthink.request_id"] == "r1"
    assert request.attributes["http.response.status_code"] == 200
    assert (first.attributes["visionthink.visual_tokens"], second.attributes["visionthink.visual_tokens"]) == (2, 10)
    assert (first.attributes["visionthink.view.width"], second.attributes["visionthink.view.width"]) == (56, 112)
    assert (first.attributes["visionthink.decision"], second.attributes["visionthink.decision"]) == ("call", "answer")
    assert second.attributes["gen_ai.response.finish_reason"] == "stop"
    assert first.attributes["visionthink.picture.hash"] == second.attributes["visionthink.picture.hash"]
    # The engine's own spans join the turns'.
    turns = [f"00-{TRACE_ID}-{turn.context.span_id:016x}-01" for turn in (first, second) if turn.context]
    assert seen == turns


async def test_nothing_that_was_asked_or_answered_is_told(kept: Kept, upstream: tuple[str, list[str]]) -> None:
    with serving(open_engine(upstream[0]), tracing=kept.tracing) as served:
        await asked(served, messages=[question(text="my secret question")])
        await until(lambda: any(found.name == "request" for found in kept.spans()))
    told = " ".join(found.to_json() for found in kept.spans())
    assert "secret" not in told and "A7" not in told and "base64" not in told


async def test_a_failed_turn_is_told_as_one(kept: Kept) -> None:
    with serving(ScriptedEngine(lambda request: BackendFailed(error="no power")), tracing=kept.tracing) as served:
        assert (await asked(served)).status_code == 503
        await until(lambda: any(found.name == "request" for found in kept.spans()))
    for name in ("request", "turn-1"):
        assert not kept.named(name).status.is_ok, name


async def test_requests_do_not_share_a_trace(kept: Kept) -> None:
    with serving(ScriptedEngine(twice), tracing=kept.tracing) as served:
        await asked(served)
        await asked(served)
        await until(lambda: len([found for found in kept.spans() if found.name == "request"]) == 2)
    assert len({found.context.trace_id for found in kept.spans() if found.context}) == 2


def test_without_a_tracer_a_span_is_nothing() -> None:
    with span("resize", {"width": 3}) as found:
        found.tell({"height": 4})
        found.fail("it did not come off")
        assert not found.is_seen


@pytest.mark.parametrize(
    ("mode", "env", "want"),
    [
        ("off", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, False),
        ("auto", {}, False),
        ("auto", {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ("auto", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9"}, True),
        ("on", {}, True),
    ],
)
async def test_spans_are_sent_where_a_collector_is_named(mode: str, env: dict[str, str], want: bool) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    found = open_tracing(mode, env)  # type: ignore[arg-type]
    assert (found is not None) == want
    if found is not None:
        await found.aclose()


def test_without_the_extra_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"visionthink\[tracing\]"):
        open_tracing("on", {})


def test_serving_without_traces_needs_no_sdk_and_no_exporter() -> None:
    block = "import sys; sys.modules['opentelemetry.sdk'] = sys.modules['opentelemetry.exporter'] = None"
    code = f"{block}; import visionthink.cli.serve, visionthink.serving.opening"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
