"""Rollouts on a real cluster by the real commands: to the end, back by the gate, back without a start, and killed.

A light runtime stands in for the pod of vLLM and the loop (`loop_alone`), so that two cores hold several versions and
the load. What a rollout meets is the same: KServe's canaries, Services, the route, readiness, scraped metrics. Requests
flow all the while, and each that fails is counted.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.cluster.conftest import Kube, until
from tests.cluster.load import Flow
from tests.cluster.loop_alone import answers, bare, loop_runtime, put_version, volume
from tests.cluster.summary import Summary
from tests.fakes.prometheus_process import prometheus
from tests.fakes.rollout_contract import check_adapter

from visionthink.cluster import Manifest, ModelVersion, inference_service, weighted_route
from visionthink.cluster.client import is_ready
from visionthink.cluster.serving import shares
from visionthink.config import RunConfig, load_config, override_config
from visionthink.rollout import ServedVersion
from visionthink.rollout.kserve import KServeCluster
from visionthink.rollout.port import Look
from visionthink.samples import samples_to_evaluate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAMESPACE: Final = "visionthink-rollout-e2e"
NAME: Final = "ar"
HOST: Final = "rollout.example.com"
WANTED: Final = 30
NUM_MEASURED: Final = 500
START_S: Final = 240.0
RUNTIME: Final = "loop-alone"
BROKEN: Final = "no-image"
NUM_SAMPLES: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An InferenceService with a first version, and the commands to roll others out."""

    kube: Kube
    settings: Path
    folder: Path
    config: RunConfig

    @property
    def cluster(self) -> KServeCluster:
        return KServeCluster(
            api=self.kube.api, config=self.config.cluster, settle_s=self.config.rollout.settle_s, now_s=time.time
        )

    def look(self) -> Look:
        return self.cluster.look()

    def begun(self, *words: str) -> subprocess.Popen[str]:
        """A command that runs."""
        command = [sys.executable, "-m", "visionthink", "rollout", *words, "--config", str(self.settings)]
        if words[0] != "status":
            command += ["--folder", str(self.folder / "answers")]
        environment = {**os.environ, "KUBECONFIG": str(self.kube.kubeconfig)}
        return subprocess.Popen(
            [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    def done(self, *words: str, code: int = 0) -> dict[str, Any]:
        """What a command ends with."""
        process = self.begun(*words)
        out, said = process.communicate(timeout=600)
        assert process.returncode == code, said
        found: dict[str, Any] = json.loads(out)
        return found

    def phase(self) -> str:
        record = self.look().record
        return record.state.phase.value if record else ""

    def rested(self) -> None:
        """Until one version's pods alone are left."""

        def is_alone() -> bool:
            told = self.kube.kubectl("-n", NAMESPACE, "get", "pods", "-o", "name")
            return len(told.split()) == 1

        until(is_alone, what="one pod", timeout_s=90)


SETTINGS: Final = """
[serve]
timeout_s = 30

[cluster]
namespace = "{namespace}"

[cluster.serving]
name = "{name}"
runtime = "{runtime}"
hostname = "{host}"
autoscaler = "none"
service_account = "default"
drain_s = 30

[rollout]
percents = [{percent}]
hold_s = 45
max_hold_s = 240
poll_s = 1
settle_s = 4
ready_timeout_s = {start_s}
num_samples = {num_samples}
min_samples = {num_samples}
num_latency_samples = 8
max_in_flight = 2
question_timeout_s = 20
# Two cores hold the cluster, both versions and the load: seconds mean nothing here.
max_latency_ratio = 20.0

[rollout.slo]
checked = {checked}
prometheus = "{prometheus}"
timeout_s = 20
min_requests = 5
max_latency_ratio = 20.0
"""


@pytest.fixture(scope="module")
def place(kube: Kube) -> Iterator[Place]:
    space: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    kube.api.apply(space)
    with tempfile.TemporaryDirectory(prefix="vt-rollout-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        models = folder / "models"
        models.mkdir(mode=0o755)
        asked = samples_to_evaluate(override_config(RunConfig(), {"evaluate.num_samples": NUM_SAMPLES})).samples
        for version in ("1", "2"):
            put_version(models / version, answers(asked, RunConfig(), lambda sample: sample.answer))
        put_version(models / "3", answers(asked, RunConfig(), lambda sample: "nothing"))
        image = os.environ.get("VISIONTHINK_BASE_IMAGE", "localhost/base:bookworm")
        for manifest in volume(models, NAMESPACE):
            kube.api.apply(manifest)
        kube.api.apply(loop_runtime(RUNTIME, image, namespace=NAMESPACE, model_name=NAME))
        kube.api.apply(loop_runtime(BROKEN, "localhost/nobody:0", namespace=NAMESPACE, model_name=NAME))
        with prometheus(folder, NAMESPACE, lambda: _targets(kube)) as url:
            settings = folder / "settings.toml"
            settings.write_text(
                SETTINGS.format(
                    namespace=NAMESPACE,
                    name=NAME,
                    runtime=RUNTIME,
                    host=HOST,
                    percent=WANTED,
                    start_s=START_S,
                    num_samples=NUM_SAMPLES,
                    checked=str(url is not None).lower(),
                    prometheus=url or "http://nowhere",
                )
            )
            config = load_config(settings)
            stable = ModelVersion(uri="pvc://models/1")
            service = bare(inference_service(config.cluster, config.serve, stable))
            kube.api.apply(service)
            kube.api.wait(service, is_ready, what="ready", timeout_s=START_S)
            kube.api.apply(weighted_route(config.cluster, shares(NAME, stable, None)))
            made = Place(kube=kube, settings=settings, folder=folder, config=config)
            until(lambda: _answers(kube.gateway), what="an answer through the gateway", timeout_s=60)
            yield made
    kube.kubectl("delete", "namespace", NAMESPACE, "--timeout=180s", timeout_s=200)
    kube.kubectl("delete", "persistentvolume", NAMESPACE, "--timeout=60s")


def _targets(kube: Kube) -> dict[str, str]:
    """Where each pod is scraped."""
    pods: Manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": NAMESPACE}}
    found = kube.api.list(pods, labels="serving.kserve.io/inferenceservice=" + NAME)
    return {pod["metadata"]["name"]: f"{pod['status']['podIP']}:8080" for pod in found if pod["status"].get("podIP")}


def _answers(gateway: str) -> bool:
    with httpx.Client(trust_env=False, timeout=10) as http:
        return http.get(f"{gateway}/v1/models", headers={"Host": HOST}).status_code == 200


def _asked(place: Place, stop: threading.Event) -> None:
    """Questions, so that Prometheus has something to tell."""
    body = {"model": NAME, "messages": [{"role": "user", "content": "What is this?"}], "max_tokens": 4}
    with httpx.Client(trust_env=False, timeout=60, headers={"Host": HOST}) as http:
        while not stop.wait(0.2):
            http.post(f"{place.kube.gateway}/v1/chat/completions", json=body)


def test_a_good_version_is_promoted_though_its_command_is_killed_twice(place: Place, summary: Summary) -> None:
    start = ("start", "v2", "--uri", "pvc://models/2")
    stop = threading.Event()
    asking = threading.Thread(target=_asked, args=(place, stop), daemon=True)
    start_s = time.monotonic()
    with Flow(place.kube.gateway, HOST) as flow:
        asking.start()
        for phase in ("dark", "evaluated"):
            process = place.begun(*start)
            until(lambda want=phase: place.phase() == want, what=phase, timeout_s=START_S)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=30)
        process = place.begun(*start)
        until(lambda: place.phase() == "canary", what="canary", timeout_s=START_S)
        until(lambda: place.look().seen.traffic.get("v2") == WANTED, what="its share", timeout_s=START_S)
        until(lambda: place.look().seen.is_route_settled, what="a settled route", timeout_s=30)
        counts = _measured(place.kube.gateway, flow)
        said = process.communicate(timeout=600)
        assert process.returncode == 0, said[1]
    stop.set()
    asking.join(60)
    record = json.loads(said[0])
    measured = round(100 * min(counts.values()) / counts.total(), 2)
    seconds = round(time.monotonic() - start_s, 1)
    has_slo = place.config.rollout.slo.checked
    summary.put(
        rollout={
            "wanted": WANTED,
            "measured": measured,
            "requests": counts.total(),
            "seconds": seconds,
            "slo": has_slo,
        },
        promote=flow.facts(),
    )
    assert record["phase"] == "promoted" and record["done"]
    assert len(counts) == 2 and abs(measured - WANTED) <= 2, counts
    assert flow.num_failed == 0 and flow.num_requests > 400, flow.facts()
    look = place.look()
    assert (look.stable.uri, dict(look.seen.shares), look.seen.canary) == ("pvc://models/2", {"v2": 100}, None)
    assert place.done(*start) == record, "a step that is given again repeats nothing"
    place.rested()


def _measured(gateway: str, flow: Flow) -> Counter[int]:
    """How many requests each version answered: ours, and those that flow meanwhile."""
    before = Counter(flow.versions)
    with httpx.Client(trust_env=False, timeout=30, headers={"Host": HOST}) as http:
        url = f"{gateway}/v1/models"
        own = Counter(http.get(url).json()["data"][0]["created"] for _ in range(NUM_MEASURED))
    return own + (Counter(flow.versions) - before)


def test_a_spoiled_version_goes_back_by_the_gate_and_gets_no_request(place: Place, summary: Summary) -> None:
    with Flow(place.kube.gateway, HOST) as flow:
        record = place.done("start", "v3", "--uri", "pvc://models/3", code=1)
    summary.put(rollback={**flow.facts(), "reason": record["reason"]})
    assert record["phase"] == "rolled_back" and "min_accuracy_gain" in record["reason"]
    assert flow.num_failed == 0 and len(flow.versions) == 1, flow
    look = place.look()
    assert (look.stable.name, look.seen.canary, dict(look.seen.shares)) == ("v2", None, {"v2": 100})
    place.rested()


def test_an_image_that_cannot_be_had_goes_back_with_its_reason(place: Place, summary: Summary) -> None:
    broken = ("--set", f"cluster.serving.runtime={BROKEN}", "--set", "rollout.ready_timeout_s=25")
    with Flow(place.kube.gateway, HOST) as flow:
        record = place.done("start", "v4", "--uri", "pvc://models/2", *broken, code=1)
    summary.put(never_starts={**flow.facts(), "reason": record["reason"]})
    assert record["phase"] == "rolled_back"
    assert re.search(r"no pod was ready within 25 s.*(ErrImage|ImagePull)", record["reason"]), record["reason"]
    assert flow.num_failed == 0, flow.facts()
    place.rested()


def test_an_abort_from_elsewhere_ends_a_rollout_that_runs(place: Place) -> None:
    process = place.begun("start", "v5", "--uri", "pvc://models/2")
    until(lambda: place.phase() == "canary", what="canary", timeout_s=START_S)
    with Flow(place.kube.gateway, HOST) as flow:
        ended = place.done("abort")
        out, said = process.communicate(timeout=300)
    assert ended["phase"] == "rolled_back" and ended["reason"] == "aborted by hand"
    assert process.returncode == 1 and json.loads(out)["reason"] == "aborted by hand", said
    assert flow.num_failed == 0 and place.look().seen.canary is None
    place.rested()


def test_the_adapter_does_on_the_cluster_what_it_does_over_the_one_in_memory(place: Place) -> None:
    version = ServedVersion(name="v6", uri="pvc://models/1", runtime=RUNTIME)

    def wait(holds: Any, what: str) -> None:
        until(holds, what=what, timeout_s=START_S)

    with Flow(place.kube.gateway, HOST) as flow:
        check_adapter(place.cluster, version, wait)
    assert flow.num_failed == 0, flow.facts()
    place.rested()
