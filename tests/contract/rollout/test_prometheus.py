"""SLO figures from a real Prometheus that scrapes the loop's own collectors; and what a sick one is told as."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, start_http_server
from tests.fakes.prometheus_process import prometheus, prometheus_program

from visionthink import metrics
from visionthink.config import RunConfig, SloConfig, override_config
from visionthink.core.slo import Traffic
from visionthink.errors import ClusterError
from visionthink.rollout import ServedVersion
from visionthink.rollout.prometheus import PrometheusSlo, queries
from visionthink.serving.admission import Admission
from visionthink.serving.metrics import ServingMetrics

CLUSTER = override_config(RunConfig(), {"cluster.namespace": "ml", "cluster.serving.name": "ar"}).cluster
V2 = ServedVersion(name="v2", uri="s3://m/2", runtime="r")


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[tuple[str, ServingMetrics]]:
    """A Prometheus and what it scrapes as a pod of v2."""
    if prometheus_program() is None:
        pytest.skip("no program prometheus: apt-get install prometheus, or name it: VISIONTHINK_PROMETHEUS")
    registry = CollectorRegistry()
    collectors = ServingMetrics(registry, Admission(max_requests=1, max_bytes=1, timeout_s=1))
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        pods = {"ar-v2-predictor-abc": f"127.0.0.1:{server.server_port}"}
        with prometheus(tmp_path, "ml", lambda: pods) as url:
            assert url is not None
            yield url, collectors
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def observe(collectors: ServingMetrics, good: int, bad: int) -> None:
    """So many requests answered in 0.2 s, a third of them after a closer look, and so many that failed."""
    for number in range(good):
        collectors._requests.labels("answered").inc()
        collectors._latency.observe(0.2)
        collectors._decisions.labels("closer" if number % 3 == 0 else "direct").inc()
    collectors._requests.labels("error").inc(bad)
    collectors._requests.labels("rejected").inc(0)


@pytest.mark.slow
def test_a_real_prometheus_tells_requests_errors_latency_and_resize_rate(
    scraped: tuple[str, ServingMetrics],
) -> None:
    url, collectors = scraped
    slo = PrometheusSlo(SloConfig(prometheus=url), CLUSTER)
    observe(collectors, 3, 1)
    ended = threading.Event()

    def request() -> None:
        while not ended.wait(0.05):
            observe(collectors, 3, 1)

    requests = threading.Thread(target=request)
    requests.start()
    try:
        slo.check()
        end_s = time.monotonic() + 60
        found = Traffic(num_requests=0)
        while found.num_requests < 50:
            assert time.monotonic() < end_s, found
            found = slo.traffic(V2, 30)
    finally:
        ended.set()
        requests.join()
    assert found.error_ratio == pytest.approx(0.25, abs=0.02)
    assert found.resize_rate == pytest.approx(1 / 3, abs=0.02)
    assert found.latency_p95_s is not None and 0.1 < found.latency_p95_s <= 0.25
    other = ServedVersion(name="v3", uri="s3://m/3", runtime="r")
    assert slo.traffic(other, 30) == Traffic(num_requests=0.0)
    with pytest.raises(ClusterError, match="refuses"):
        slo._number("sum(")
    slo.close()


def told(answer: httpx.Response | Exception) -> PrometheusSlo:
    """A server that always answers so."""

    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return PrometheusSlo(SloConfig(prometheus="http://p:9090"), CLUSTER, transport=httpx.MockTransport(handle))


def vector(*values: str) -> httpx.Response:
    result = [{"metric": {}, "value": [1.0, value]} for value in values]
    return httpx.Response(200, json={"status": "success", "data": {"resultType": "vector", "result": result}})


@pytest.mark.parametrize(("answer", "want"), [(vector("12.5"), 12.5), (vector(), None), (vector("NaN"), None)])
def test_a_value_is_read_and_none_is_not_measured(answer: httpx.Response, want: float | None) -> None:
    assert told(answer)._number("q") == want


@pytest.mark.parametrize(
    ("answer", "want", "retryable"),
    [
        (httpx.ConnectError("refused"), "does not answer .refused.", True),
        (httpx.Response(502, text="<html>"), "does not answer", True),
        (
            httpx.Response(400, json={"status": "error", "error": "parse error"}),
            "refuses 'vector.1.': parse error",
            False,
        ),
        (httpx.Response(503, json={"status": "error", "error": "busy"}), "refuses", True),
        (httpx.Response(200, json={"status": "success", "data": {}}), "gives no number", False),
        (vector("1", "2"), "gives no number", False),
    ],
    ids=["away", "a proxy's page", "a bad query", "busy", "another shape", "two values"],
)
def test_what_is_no_number_is_an_error_that_names_the_setting(
    answer: httpx.Response | Exception, want: str, retryable: bool
) -> None:
    with pytest.raises(ClusterError, match=want) as raised:
        told(answer).check()
    assert raised.value.retryable is retryable and "rollout.slo.prometheus" in str(raised.value)


def test_queries_use_the_names_of_a_scrape() -> None:
    asked = queries('pod=~"ar-predictor-.*"', 59.5)
    assert asked.num_requests == 'sum(increase(visionthink_serve_requests_total{pod=~"ar-predictor-.*"}[60s]))'
    assert metrics.SERVE_LATENCY_S.prometheus + "_bucket" in asked.latency_p95_s
