"""What a scrape of the loop shows.

Rule: names and meanings come from `visionthink.metrics`, the collectors live on the registry that is passed in, and
labels are few and closed: never a request id, a question or a model's text.
"""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, assert_never

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from visionthink import metrics
from visionthink.core.episode import BackendFailed, Event, Finish, ModelReply, NoRoom, Trace
from visionthink.episodes.prompting import ViewPolicy
from visionthink.metrics import Metric
from visionthink.serving.admission import Admission
from visionthink.serving.api_error import ApiError
from visionthink.serving.schema import CHAT_PATH

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_TOKENS: Final = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_TURNS: Final = (1, 2, 3, 4, 8)
_MAX_KEYS: Final = 50
"""Names of keys are a label as long as they are few."""


class ServingMetrics:
    """The collectors of one app."""

    def __init__(self, registry: CollectorRegistry, admission: Admission) -> None:
        """Register everything on `registry`; what is in flight is read off `admission`."""
        self.registry = registry
        self._requests = Counter(*_named(metrics.SERVE_REQUESTS), ["outcome"], registry=registry)
        self._rejections = Counter(*_named(metrics.SERVE_REJECTIONS), ["reason"], registry=registry)
        self._decisions = Counter(*_named(metrics.SERVE_DECISIONS), ["decision"], registry=registry)
        self._resizes = Counter(*_named(metrics.SERVE_RESIZES), registry=registry)
        self._visual_tokens = Histogram(*_named(metrics.SERVE_VISUAL_TOKENS), buckets=_TOKENS, registry=registry)
        self._full_visual_tokens = Counter(*_named(metrics.SERVE_FULL_VISUAL_TOKENS), registry=registry)
        self._turns = Histogram(*_named(metrics.SERVE_TURNS), buckets=_TURNS, registry=registry)
        self._latency = Histogram(*_named(metrics.SERVE_LATENCY_S), buckets=_SECONDS, registry=registry)
        self._turn = Histogram(*_named(metrics.SERVE_TURN_S), buckets=_SECONDS, registry=registry)
        self._picture = Histogram(*_named(metrics.SERVE_PICTURE_S), buckets=_SECONDS, registry=registry)
        self._wait = Histogram(*_named(metrics.SERVE_QUEUE_S), buckets=_SECONDS, registry=registry)
        self._first_byte = Histogram(*_named(metrics.SERVE_FIRST_BYTE_S), buckets=_SECONDS, registry=registry)
        self._first_word = Histogram(*_named(metrics.SERVE_FIRST_WORD_S), buckets=_SECONDS, registry=registry)
        self._keys = Counter(*_named(metrics.SERVE_KEY_REQUESTS), ["key"], registry=registry)
        self._engine_errors = Counter(*_named(metrics.SERVE_ENGINE_ERRORS), ["kind"], registry=registry)
        self._look = Histogram(*_named(metrics.SERVE_LOOK_S), ["look"], buckets=_SECONDS, registry=registry)
        in_flight = Gauge(*_named(metrics.SERVE_NUM_IN_FLIGHT), registry=registry)
        in_flight.set_function(lambda: admission.num_requests)
        queued = Gauge(*_named(metrics.SERVE_NUM_QUEUED), registry=registry)
        queued.set_function(lambda: admission.num_queued)
        tasks = Gauge(*_named(metrics.SERVE_NUM_TASKS), registry=registry)
        tasks.set_function(_num_tasks)
        held = Gauge(*_named(metrics.SERVE_HELD_BYTES), registry=registry)
        held.set_function(lambda: admission.num_bytes)

    def count_answer(self, finish: Finish, policy: ViewPolicy, *, full_visual_tokens: int, latency_s: float) -> None:
        """An episode came to its end."""
        trace = finish.trace
        self._requests.labels(finish.outcome.value).inc()
        self._decisions.labels(_decision(finish, policy)).inc()
        self._resizes.inc(trace.num_views_asked)
        self._visual_tokens.observe(trace.visual_tokens)
        self._full_visual_tokens.inc(full_visual_tokens)
        self._turns.observe(len(trace.turns))
        self._latency.observe(latency_s)
        for look, seconds in _looks(trace, policy):
            self._look.labels(look).observe(seconds)

    def count_turn(self, event: Event, seconds: float) -> None:
        """The engine answered a turn, or did not."""
        self._turn.observe(seconds)
        if not isinstance(event, ModelReply):
            self._engine_errors.labels(_kind(event)).inc()

    def count_picture(self, seconds: float) -> None:
        """A request was read and its picture decoded."""
        self._picture.observe(seconds)

    def count_wait(self, seconds: float) -> None:
        """A request came up after so long a wait for the engine."""
        self._wait.observe(seconds)

    def count_first_byte(self, path: str, seconds: float) -> None:
        """A response to a request for `path` began."""
        if path == CHAT_PATH:
            self._first_byte.observe(seconds)

    def count_first_word(self, seconds: float) -> None:
        """The first word of a streamed answer flowed."""
        self._first_word.observe(seconds)

    def count_key(self, name: str, names: frozenset[str]) -> None:
        """A question came with the key `name`, one of `names`."""
        self._keys.labels(name if len(names) <= _MAX_KEYS else "any").inc()

    def count_abandoned(self) -> None:
        """The client hung up before the episode's end."""
        self._requests.labels("abandoned").inc()

    def count_error(self, error: ApiError) -> None:
        """A request ended without an episode's end."""
        self._requests.labels(_outcome(error)).inc()
        self._rejections.labels(error.code).inc()


def _outcome(error: ApiError) -> str:
    if error.code == "overloaded":
        return "overloaded"
    if error.status < 500 or error.code == "shutting_down":
        return "rejected"
    return "timeout" if error.status == 504 else "error"


def _num_tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # read outside of an event loop
        return 0


def _kind(event: BackendFailed | NoRoom) -> str:
    match event:
        case BackendFailed():
            return "retryable" if event.retryable else "refused"
        case NoRoom():
            return "no_room"
        case _:
            assert_never(event)


def _decision(finish: Finish, policy: ViewPolicy) -> str:
    if not finish.trace.views:
        return "no_picture"
    if policy != "auto":
        return policy
    if finish.trace.shortcut:
        return "shortcut"
    return "closer" if finish.trace.asked else "direct"


def _looks(trace: Trace, policy: ViewPolicy) -> Iterator[tuple[str, float]]:
    """The turns that look at a new view, each with its seconds; one after a refused call looks at nothing new."""
    if not trace.views or not trace.turns or policy == "always_low":
        return
    is_full = trace.shortcut or policy == "always_high"
    yield "full" if is_full else "first", trace.turns[0].reply.latency_s
    for before, turn in pairwise(trace.turns):
        if before.view is not None:
            yield "further", turn.reply.latency_s


def _named(metric: Metric) -> tuple[str, str]:
    return metric.prometheus, metric.meaning
