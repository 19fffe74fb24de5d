"""What a request's time went into, as OpenTelemetry shows it.

Rule: whoever does the work names it here, and knows nothing of tracing: whether anybody looks is decided where the
request came in, and where nobody does a span costs one look at a variable. Nothing of what was asked or answered goes
into a span; a picture is told by its hash and its size.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer

Fact: TypeAlias = str | bool | int | float

_tracer: ContextVar["Tracer | None"] = ContextVar("visionthink_tracer", default=None)


class Span:
    """One piece of work."""

    def __init__(self, span: "OtelSpan | None") -> None:
        """Tell `span`; None tells nobody."""
        self._span = span

    @property
    def is_seen(self) -> bool:
        """Whether facts about it reach anybody: what is dear to find out need not be found out otherwise."""
        return self._span is not None and self._span.is_recording()

    def tell(self, facts: Mapping[str, Fact | None]) -> None:
        """Add facts; those that are None are none."""
        if self._span is not None:
            self._span.set_attributes({name: value for name, value in facts.items() if value is not None})

    def fail(self, why: str) -> None:
        """The work did not come off."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR, why)


_UNSEEN = Span(None)


@contextmanager
def span(name: str, facts: Mapping[str, Fact | None] | None = None) -> Generator[Span]:
    """The block is a piece of work called `name`, within the present one."""
    tracer = _tracer.get()
    if tracer is None:
        yield _UNSEEN
        return
    with tracer.start_as_current_span(name, record_exception=False) as found:
        made = Span(found)
        made.tell(facts or {})
        yield made


def traced_by(tracer: "Tracer") -> None:
    """Everything that this task begins from now on is told to `tracer`."""
    _tracer.set(tracer)


def trace_headers() -> dict[str, str]:
    """What a request to another server takes along, so that its spans join ours (W3C trace context)."""
    if _tracer.get() is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers
