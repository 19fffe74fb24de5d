"""What a scrape of the loop shows.

Rule: names and meanings come from `visionthink.metrics`, the collectors live on the registry that is passed in, and
labels are few and closed: never a request id, a question or a model's text.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from visionthink import metrics
from visionthink.core.episode import Finish
from visionthink.metrics import Metric

_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_TOKENS: Final = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_TURNS: Final = (1, 2, 3, 4, 8)


class ServingMetrics:
    """The collectors of one app."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register everything on `registry`."""
        self.registry = registry
        self._requests = Counter(*_named(metrics.SERVE_REQUESTS), ["outcome"], registry=registry)
        self._resizes = Counter(*_named(metrics.SERVE_RESIZES), registry=registry)
        self._visual_tokens = Histogram(*_named(metrics.SERVE_VISUAL_TOKENS), buckets=_TOKENS, registry=registry)
        self._turns = Histogram(*_named(metrics.SERVE_TURNS), buckets=_TURNS, registry=registry)
        self._latency = Histogram(*_named(metrics.SERVE_LATENCY_S), buckets=_SECONDS, registry=registry)

    def count_answer(self, finish: Finish, *, latency_s: float) -> None:
        """An episode came to its end."""
        self._requests.labels(finish.outcome.value).inc()
        self._resizes.inc(finish.trace.num_views_asked)
        self._visual_tokens.observe(finish.trace.visual_tokens)
        self._turns.observe(len(finish.trace.turns))
        self._latency.observe(latency_s)

    def count_abandoned(self) -> None:
        """The client hung up before the episode's end."""
        self._requests.labels("abandoned").inc()

    def count_error(self, status: int) -> None:
        """A request ended without an episode's end: `rejected` (4xx), `timeout` (504) or `error`."""
        outcome = "rejected" if status < 500 else "timeout" if status == 504 else "error"
        self._requests.labels(outcome).inc()


def _named(metric: Metric) -> tuple[str, str]:
    return metric.prometheus, metric.meaning
