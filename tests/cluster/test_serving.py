"""A model in service on a real cluster: right answers, and none lost while everything under it changes."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.cluster.conftest import HOST, NAME, NAMESPACE, START_S, Bucket, Endpoint, until
from tests.cluster.load import Load, client, messages, questions
from tests.cluster.summary import Summary

from visionthink.cluster import Canary, Manifest, ModelVersion, serving_objects
from visionthink.cluster.client import is_canary_ready
from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.serving import background_server
from visionthink.serving.opening import open_app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

NUM_QUESTIONS: Final = 24
NUM_MEASURED: Final = 1000
WANTED: Final = 30
"""Percent of the requests for the canary."""
Asked = Sequence[tuple[Sample, str]]


def ask(url: str, model: str, host: str, samples: Sequence[Sample], *, stream: bool = False) -> list[str]:
    """What the endpoint answers."""

    async def one(api: object, sample: Sample) -> str:
        create = api.chat.completions.create  # type: ignore[attr-defined]
        got = await create(model=model, messages=messages(sample), temperature=0, stream=stream)
        if not stream:
            return got.choices[0].message.content or ""
        pieces = [chunk.choices[0].delta.content or "" async for chunk in got if chunk.choices]
        return "".join(pieces)

    async def every() -> list[str]:
        async with client(url, host) as api:
            return list(await asyncio.gather(*(one(api, sample) for sample in samples)))

    return asyncio.run(every())


@pytest.fixture(scope="module")
def local(model: Path) -> Iterator[dict[str, str]]:
    """What the model answers when it runs in this process, by sample."""
    samples = questions(NUM_QUESTIONS)
    with background_server(open_app(model, RunConfig()), deadline_s=120) as url:
        yield dict(zip((sample.id for sample in samples), ask(url, "visionthink", "localhost", samples), strict=True))


@pytest.fixture(scope="module")
def asked(endpoint: Endpoint, local: dict[str, str]) -> Asked:
    """Questions, and what the endpoint answers when nothing disturbs it."""
    samples = questions(NUM_QUESTIONS)
    found = ask(endpoint.kube.gateway, NAME, HOST, samples)
    return [(sample, text) for sample, text in zip(samples, found, strict=True) if text == local[sample.id]]


def test_the_pod_is_vllm_and_the_loop_as_nobody_on_a_read_only_root(endpoint: Endpoint) -> None:
    (pod,) = endpoint.pods()
    containers = {container["name"]: container for container in pod["spec"]["containers"]}
    assert set(containers) == {"kserve-container", "transformer-container"}
    for container in containers.values():
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] and context["runAsNonRoot"] and context["runAsUser"] == 65532
    assert pod["spec"]["initContainers"][0]["args"][0] == endpoint.uri, "the storage initializer fetched the model"


def test_an_openai_client_gets_right_answers_through_the_gateway(
    endpoint: Endpoint, asked: Asked, summary: Summary
) -> None:
    # Another order of summation may turn a tie between two letters; no more than that.
    assert len(asked) >= NUM_QUESTIONS - 2
    right = sum(sample.answer in text for sample, text in asked)
    summary.put(served_answer=asked[0][1], served={"asked": NUM_QUESTIONS, "as_local": len(asked), "right": right})
    assert right >= NUM_QUESTIONS // 2


def test_streams_say_the_same(endpoint: Endpoint, asked: Asked) -> None:
    few = asked[:6]
    assert ask(endpoint.kube.gateway, NAME, HOST, [sample for sample, _ in few], stream=True) == [
        text for _, text in few
    ]


def test_another_version_takes_over_and_no_request_is_lost(
    endpoint: Endpoint, asked: Asked, bucket: Bucket, model: Path, summary: Summary
) -> None:
    uri = bucket.publish(model, f"{NAME}/2")
    with Load(endpoint.kube.gateway, HOST, NAME, asked) as tally:
        seconds = endpoint.apply(uri)
    summary.put(rolling_update={**tally.facts(), "seconds": round(seconds, 1)})
    assert tally.num_failed == 0 and tally.num_requests > 0, tally
    assert tally.num_otherwise <= tally.num_requests // 20, tally


def test_three_pods_and_one_again_lose_no_request(
    endpoint: Endpoint, asked: Asked, bucket: Bucket, summary: Summary
) -> None:
    uri = f"s3://{bucket.name}/{NAME}/2"
    with Load(endpoint.kube.gateway, HOST, NAME, asked) as tally:
        up_s = endpoint.apply(uri, min_replicas=3)
        served_by = {pod["spec"]["nodeName"] for pod in endpoint.pods()}
        down_s = endpoint.apply(uri, min_replicas=1)
        until(lambda: len(endpoint.pods()) == 1, what="one pod", timeout_s=120)
    summary.put(scale={**tally.facts(), "up_s": round(up_s, 1), "down_s": round(down_s, 1), "nodes": len(served_by)})
    assert tally.num_failed == 0 and tally.num_requests > 0, tally


def test_without_its_engine_the_pod_gets_no_requests_until_it_is_back(
    endpoint: Endpoint, asked: Asked, summary: Summary
) -> None:
    (pod,) = endpoint.pods()
    name, url = pod["metadata"]["name"], f"{endpoint.kube.gateway}/v1/chat/completions"
    body = json.dumps({"model": NAME, "messages": messages(asked[0][0]), "temperature": 0})
    headers = {"Host": HOST, "content-type": "application/json"}
    # Its own first process is safe from a signal out of its own room; it ends when it finds the others gone.
    killed = ("exec", name, "-c", "kserve-container", "--", "sh", "-c", "kill -9 -1")
    with contextlib.suppress(AssertionError):  # the shell is one of those that are killed
        endpoint.kube.kubectl("-n", NAMESPACE, *killed)
    gone_s = until(lambda: not is_whole(endpoint), what="not ready", timeout_s=60)
    statuses: set[int] = set()
    start_s = time.monotonic()
    with httpx.Client(trust_env=False, timeout=60) as http:
        while not is_whole(endpoint):
            assert time.monotonic() - start_s < START_S, "the engine does not come back"
            statuses.add(http.post(url, content=body, headers=headers).status_code)
        back_s = time.monotonic() - start_s
        until(lambda: http.post(url, content=body, headers=headers).status_code == 200, what="200", timeout_s=60)
    summary.put(
        engine_killed={"not_ready_s": round(gone_s, 1), "ready_again_s": round(back_s, 1), "statuses": sorted(statuses)}
    )
    assert statuses - {200} <= {502, 503, 504} and 503 in statuses, "an engine that is away is told as such"
    (after,) = endpoint.pods()
    assert after["metadata"]["name"] == name, "the same pod"
    restarts = {status["name"]: status["restartCount"] for status in after["status"]["containerStatuses"]}
    assert restarts["transformer-container"] == 0 and restarts["kserve-container"] >= 1


def is_whole(endpoint: Endpoint) -> bool:
    """Whether its one pod is ready."""
    (pod,) = endpoint.pods()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])


def test_a_canary_gets_its_share_and_goes_without_a_trace(
    endpoint: Endpoint, asked: Asked, bucket: Bucket, model: Path, summary: Summary
) -> None:
    api, config = endpoint.kube.api, endpoint.config
    stable, canary = ModelVersion(uri=endpoint.uri), ModelVersion(uri=bucket.publish(model, f"{NAME}/3"), name="v3")

    def put(*kinds: str, percent: int | None) -> None:
        beside = None if percent is None else Canary(version=canary, percent=percent)
        for manifest in serving_objects(config.cluster, config.serve, stable, beside):
            if manifest["kind"] in kinds:
                api.apply(manifest)

    with Load(endpoint.kube.gateway, HOST, NAME, asked) as tally:
        put("InferenceService", "HTTPRoute", percent=0)
        api.wait(endpoint.service, is_canary_ready("v3"), what="running its canary", timeout_s=START_S)
        assert len(started_at(endpoint, 40)) == 1, "a dark canary gets no request"
        put("InferenceService", "HTTPRoute", percent=WANTED)
        until(lambda: len(started_at(endpoint, 20)) == 2, what="both versions", timeout_s=60)
        counts = started_at(endpoint, NUM_MEASURED)
        measured = 100 * min(counts.values()) / NUM_MEASURED
        # First nobody is sent to it, then it goes.
        put("HTTPRoute", percent=0)
        until(lambda: len(started_at(endpoint, 40)) == 1, what="one version", timeout_s=60)
        put("HTTPRoute", "InferenceService", percent=None)
        gone: Manifest = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": canary.service(NAME), "namespace": NAMESPACE},
        }
        until(lambda: api.get(gone) is None, what="the canary's end", timeout_s=60)
    summary.put(canary={"wanted": WANTED, "measured": measured}, rollback=tally.facts())
    assert abs(measured - WANTED) <= 2, counts
    assert tally.num_failed == 0 and tally.num_requests > 0, tally


def started_at(endpoint: Endpoint, num_requests: int) -> Counter[int]:
    """How many requests each version answered: a loop tells when it was started."""
    with httpx.Client(trust_env=False, timeout=60, headers={"Host": HOST}) as http:
        url = f"{endpoint.kube.gateway}/v1/models"
        return Counter(http.get(url).json()["data"][0]["created"] for _ in range(num_requests))
