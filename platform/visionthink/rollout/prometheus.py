"""SLO figures from Prometheus, over the names that a scrape of the loop has.

Rule: names come from `visionthink.metrics` and are written nowhere else. A version is the pods behind its Service's
name. A server that does not answer, or not with numbers, is an error and no figure; a query without a result is one
that was not measured.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import httpx

from visionthink import metrics
from visionthink.cluster import ModelVersion
from visionthink.config import ClusterConfig, SloConfig
from visionthink.core.slo import Traffic
from visionthink.errors import ClusterError
from visionthink.rollout.record import ServedVersion

_FAULTS: Final = "failed|error|timeout|overloaded|no_room"
"""Outcomes that are the server's fault; `rejected` and `abandoned` are the client's own doing."""
_CHOSEN: Final = "direct|closer"
"""Decisions that were the model's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """The questions about one version over one window."""

    num_requests: str
    num_faults: str
    latency_p95_s: str
    num_chosen: str
    num_closer: str


def queries(pods: str, window_s: float) -> Queries:
    """The PromQL about the pods that the label matchers `pods` select."""
    window = f"[{max(1, math.ceil(window_s))}s]"

    def increase(metric: metrics.Metric, matcher: str = "") -> str:
        return f"sum(increase({metric.prometheus}{{{pods}{matcher}}}{window}))"

    buckets = f"{metrics.SERVE_LATENCY_S.prometheus}_bucket{{{pods}}}{window}"
    return Queries(
        num_requests=increase(metrics.SERVE_REQUESTS),
        num_faults=increase(metrics.SERVE_REQUESTS, f',outcome=~"{_FAULTS}"'),
        latency_p95_s=f"histogram_quantile(0.95, sum by (le) (rate({buckets})))",
        num_chosen=increase(metrics.SERVE_DECISIONS, f',decision=~"{_CHOSEN}"'),
        num_closer=increase(metrics.SERVE_DECISIONS, ',decision="closer"'),
    )


class PrometheusSlo:
    """One Prometheus server."""

    def __init__(self, slo: SloConfig, cluster: ClusterConfig, *, transport: httpx.BaseTransport | None = None) -> None:
        """Ask the server that `slo` names about the InferenceService that `cluster` names."""
        self._url = slo.prometheus.rstrip("/")
        self._cluster = cluster
        self._client = httpx.Client(timeout=slo.timeout_s, transport=transport)

    def check(self) -> None:
        """Return when the server answers.

        Raises:
            ClusterError: it does not.
        """
        self._number("vector(1)")

    def traffic(self, version: ServedVersion, window_s: float) -> Traffic:
        """The requests of a version in the last `window_s` seconds.

        Raises:
            ClusterError: the server does not answer, or not with numbers.
        """
        service = ModelVersion(uri=version.uri, name=version.name or None).service(self._cluster.serving.name)
        asked = queries(f'namespace="{self._cluster.namespace}",pod=~"{service}-.*"', window_s)
        num_requests = self._number(asked.num_requests) or 0.0
        num_chosen = self._number(asked.num_chosen) or 0.0
        return Traffic(
            num_requests=num_requests,
            error_ratio=(self._number(asked.num_faults) or 0.0) / num_requests if num_requests else None,
            latency_p95_s=self._number(asked.latency_p95_s),
            resize_rate=(self._number(asked.num_closer) or 0.0) / num_chosen if num_chosen else None,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _number(self, query: str) -> float | None:
        """The one value of a query; None where it has none."""
        try:
            answer = self._client.get(f"{self._url}/api/v1/query", params={"query": query})
            body: Any = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._failed(f"does not answer ({str(error) or type(error).__name__})", retryable=True) from error
        match body:
            case {"status": "success", "data": {"resultType": "vector", "result": []}}:
                return None
            case {"status": "success", "data": {"resultType": "vector", "result": [{"value": [_, str(text)]}]}}:
                value = float(text)
                return value if math.isfinite(value) else None
            case {"status": "error", "error": error}:
                raise self._failed(f"refuses {query!r}: {error}", retryable=answer.status_code >= 500)
            case _:
                raise self._failed(f"gives no number for {query!r}: {str(body)[:200]}", retryable=False)

    def _failed(self, what: str, *, retryable: bool) -> ClusterError:
        return ClusterError(
            f"Prometheus at {self._url} {what}; name yours with rollout.slo.prometheus, or roll out without looking at "
            "requests: rollout.slo.checked=false",
            retryable=retryable,
        )
