"""The whole story on a real cluster: installed, trained, registered, served, replaced, defended, upgraded, removed.

One release, told in order: each test stands on the ones before. What is measured goes to the summary.
"""

import os
import shutil
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.cluster.conftest import HOST, NAME, START_S, until
from tests.cluster.helm import FORCED, left_behind
from tests.cluster.images import Images
from tests.cluster.load import Flow, Load, client, messages, questions
from tests.cluster.release import (
    BUCKET,
    RELEASE,
    SETTINGS,
    SPACE,
    TRACKER,
    Release,
    begin_training,
    training_nodes,
)
from tests.cluster.summary import Summary
from tests.fakes.spoiled_model import spoiled

from visionthink.cluster import Manifest
from visionthink.cluster.client import is_ready
from visionthink.core.sample import Sample

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

WANTED: Final = 30
NUM_MEASURED: Final = 500
NUM_QUESTIONS: Final = 12
ROLLOUT: Final = (
    f"percents=[{WANTED}]",
    *("hold_s=25", "poll_s=1", "settle_s=4", f"ready_timeout_s={START_S:.0f}"),
    *("num_samples=24", "min_samples=24", "num_latency_samples=4", "max_in_flight=4", "question_timeout_s=60"),
    # Two cores hold the cluster, two vLLMs and the load: seconds mean nothing here, and ties may break otherwise.
    *("max_latency_ratio=20.0", "min_accuracy_gain=-0.2", "slo.checked=false"),
)
SERVICE: Final[Manifest] = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": NAME, "namespace": SPACE},
}
Asked = list[tuple[Sample, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A registered version of the model."""

    number: str
    uri: str
    folder: Path
    """Its files, as this machine sees them."""


@pytest.fixture(scope="session")
def gateway_image(every_image: Images) -> str:
    """It may still be under way: nothing is served before `served`."""
    return every_image.name("gateway")


def test_trial_runs_from_our_images_as_nobody_on_read_only_roots(release: Release, summary: Summary) -> None:
    pods = release.get("pods", "-l", f"app.kubernetes.io/instance={RELEASE}")["items"]
    containers = {one["name"]: one for pod in pods for one in pod["spec"]["containers"]}
    assert set(containers) == {"mlflow", "s3"}
    for one in containers.values():
        context = one["securityContext"]
        assert context["readOnlyRootFilesystem"] and context["runAsNonRoot"] and context["runAsUser"] == 65532
    assert "visionthink-mlflow" in containers["mlflow"]["image"]
    tested = release.helm("test", RELEASE, "--namespace", SPACE, "--timeout=6m")
    assert tested.count("Succeeded") == 2, tested
    summary.put(helm_test="green")


@pytest.fixture(scope="module")
def trained(release: Release, verl_python: Path, summary: Summary) -> Version:
    """The model that a PyTorchJob of two nodes made, registered."""
    run_id = f"story-{uuid.uuid4().hex[:6]}"
    pod = begin_training(release, verl_python, run_id)
    nodes = training_nodes(release, run_id)
    said = release.folder / run_id / "train.log"
    ended = release.end(pod, want="Succeeded")
    assert ended["state"] == "succeeded", f"{ended['reason']}\n{said.read_text(errors='replace')[-3000:]}"
    # As the pipeline's last step does.
    release.kube.kubectl("-n", SPACE, "delete", "pytorchjob", f"train-{run_id}", "--timeout=60s")
    facts = release.step("facts", TRACKER, run_id, BUCKET, f"checkpoints/{run_id}")
    version = _registered(release, release.folder / run_id / "train" / "model", "champion")
    summary.put(
        train={
            "pods": nodes,
            "state": ended["state"],
            "mlflow_run": facts["run"],
            "mlflow_status": facts["status"],
            "steps": facts["steps"],
            "checkpoint": f"s3://{BUCKET}/checkpoints/{run_id}",
            "checkpoint_objects": len(facts["objects"]),
        }
    )
    assert len(set(nodes.values())) == 2, nodes
    assert facts["status"] == "FINISHED" and facts["steps"] == [1, 2], facts
    assert any(name.endswith("manifest.json") for name in facts["objects"]), facts
    return version


def test_training_on_two_nodes_is_tracked_kept_and_registered(trained: Version) -> None:
    assert trained.number == "1" and trained.uri.startswith(f"s3://{BUCKET}/models/")
    assert (trained.folder / "model.safetensors").exists()


@pytest.fixture(scope="module")
def first(request: pytest.FixtureRequest, release: Release, model: Path) -> Version:
    """The version that is served first: the trained one, or, where there is no veRL, the model that is named."""
    if os.environ.get("VISIONTHINK_VERL_PYTHON"):
        trained: Version = request.getfixturevalue("trained")
        return trained
    folder = release.folder / "first"
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("manifest.json", "*.py", "__pycache__"))
    return _registered(release, folder, "champion")


def _registered(release: Release, folder: Path, *alias: str) -> Version:
    """A version of the files in `folder`, which lies in the runs' volume."""
    inside = f"/runs/{folder.relative_to(release.folder)}"
    for path in folder.iterdir():  # whatever they were written as, steps are nobody
        path.chmod(0o644)
    told = release.step("register", SETTINGS, BUCKET, f"story-{uuid.uuid4().hex[:6]}", inside, *alias)
    return Version(number=told["version"], uri=told["uri"], folder=folder)


@pytest.fixture(scope="module")
def served(release: Release, first: Version, every_image: Images, summary: Summary) -> Version:
    """The first version in service."""
    every_image("gateway")
    seconds = release.upgrade({"serving.modelUri": first.uri})
    waited = until(lambda: _is_ready(release), what="the model ready", timeout_s=START_S)
    summary.put(served_s=round(seconds + waited, 1))
    return first


def _is_ready(release: Release) -> bool:
    found = release.kube.api.get(SERVICE)
    return found is not None and is_ready(found)


@pytest.fixture(scope="module")
def asked(release: Release, served: Version) -> Asked:
    """Questions, and what the endpoint answers when nothing disturbs it."""
    import asyncio

    async def every() -> list[str]:
        async with client(release.kube.gateway, HOST) as api:
            found = [
                await api.chat.completions.create(model=NAME, messages=messages(one), temperature=0) for one in samples
            ]
            return [one.choices[0].message.content or "" for one in found]

    samples = questions(NUM_QUESTIONS)
    until(lambda: _answers(release), what="an answer through the gateway", timeout_s=60)
    return list(zip(samples, asyncio.run(every()), strict=True))


def _answers(release: Release) -> bool:
    with httpx.Client(trust_env=False, timeout=10) as http:
        return http.get(f"{release.kube.gateway}/v1/models", headers={"Host": HOST}).status_code == 200


def test_kserve_fetched_the_model_and_an_openai_client_is_answered(
    release: Release, served: Version, asked: Asked, summary: Summary
) -> None:
    (pod,) = release.get("pods", "-l", f"app=isvc.{NAME}-predictor")["items"]
    containers = {one["name"]: one for one in pod["spec"]["containers"]}
    assert set(containers) == {"kserve-container", "transformer-container"}
    for one in containers.values():
        context = one["securityContext"]
        assert context["readOnlyRootFilesystem"] and context["runAsNonRoot"] and context["runAsUser"] == 65532
    assert pod["spec"]["initContainers"][0]["args"][0] == served.uri, "the storage initializer fetched the model"
    assert all(text for _, text in asked)
    summary.put(served_answer=asked[0][1])


def _rollout(release: Release, version: Version) -> str:
    sets = [word for one in ROLLOUT for word in ("--set", f"rollout.{one}")]
    answers = f"/runs/rollout-{version.number}"
    command = ["visionthink", "rollout", "start", version.number, "--config", SETTINGS, "--folder", answers, "--json"]
    return release.begin("rollout", [*command, *sets])


def test_second_version_goes_dark_gets_its_share_and_is_promoted(
    release: Release, served: Version, asked: Asked, summary: Summary
) -> None:
    folder = release.folder / "second"
    shutil.copytree(served.folder, folder, ignore=shutil.ignore_patterns("manifest.json"))
    second = _registered(release, folder)
    route = f"{NAME}-versions"
    with Flow(release.kube.gateway, HOST) as flow, Load(release.kube.gateway, HOST, NAME, asked, hands=1) as tally:
        pod = _rollout(release, second)

        def weights() -> list[int]:
            (rule,) = release.get("httproute", route)["spec"]["rules"]
            return sorted(one.get("weight", 0) for one in rule["backendRefs"])

        until(lambda: weights() == [WANTED, 100 - WANTED], what="its share", timeout_s=START_S)
        until(lambda: len(_seen(release, 20)) == 2, what="both versions", timeout_s=30)
        counts = _seen(release, NUM_MEASURED)
        record = release.end(pod, want="Succeeded")
    measured = round(100 * min(counts.values()) / counts.total(), 2)
    failed = flow.num_failed + tally.num_failed
    summary.put(
        canary={"wanted": WANTED, "measured": measured, "requests": counts.total()},
        promote={"requests": flow.num_requests + tally.num_requests, "failed": failed, "answers": tally.facts()},
    )
    assert record["phase"] == "promoted" and record["done"], record
    assert len(counts) == 2 and abs(measured - WANTED) <= 2, counts
    assert failed == 0 and flow.num_requests > 400 and tally.num_right > 0, (flow.facts(), tally.facts())
    assert release.get("inferenceservice", NAME)["spec"]["predictor"]["model"]["storageUri"] == second.uri


def _seen(release: Release, num_requests: int) -> Counter[int]:
    """How many requests each version answered: a loop tells when it was started."""
    with httpx.Client(trust_env=False, timeout=60, headers={"Host": HOST}) as http:
        url = f"{release.kube.gateway}/v1/models"
        return Counter(http.get(url).json()["data"][0]["created"] for _ in range(num_requests))


def test_spoiled_version_is_caught_and_rolled_back(
    release: Release, served: Version, asked: Asked, summary: Summary
) -> None:
    third = _registered(release, spoiled(served.folder, release.folder / "third"))
    before = release.get("inferenceservice", NAME)["spec"]["predictor"]["model"]["storageUri"]
    with Flow(release.kube.gateway, HOST) as flow, Load(release.kube.gateway, HOST, NAME, asked, hands=1) as tally:
        record = release.end(_rollout(release, third), want="Failed")
    failed = flow.num_failed + tally.num_failed
    summary.put(
        rollback={
            "requests": flow.num_requests + tally.num_requests,
            "failed": failed,
            "reason": record["reason"],
        }
    )
    assert record["phase"] == "rolled_back" and "min_accuracy_gain" in record["reason"], record
    assert failed == 0 and len(flow.versions) == 1, (flow.facts(), tally.facts())
    assert release.get("inferenceservice", NAME)["spec"]["predictor"]["model"]["storageUri"] == before


def test_upgrade_changes_a_value_and_keeps_keys_and_version(release: Release, served: Version) -> None:
    def state() -> list[Any]:
        secrets = [release.get("secret", f"{RELEASE}-visionthink-{name}")["data"] for name in ("s3", "ray")]
        return [*secrets, release.get("inferenceservice", NAME)["spec"]["predictor"]["model"]["storageUri"]]

    before = state()
    release.upgrade({"serving.modelUri": served.uri, "mlflow.workers": 2}, *FORCED)
    (container,) = release.get("deployment", f"{RELEASE}-visionthink-mlflow")["spec"]["template"]["spec"]["containers"]
    assert "--workers=2" in container["args"] and state() == before


def test_uninstall_leaves_nothing(release: Release, summary: Summary) -> None:
    release.helm("uninstall", RELEASE, "--namespace", SPACE, "--wait", "--timeout=3m")
    left: list[str] = []

    def is_empty() -> bool:
        left[:] = left_behind(release.kube, SPACE)
        summary.put(left_behind=left)
        return not left

    # Helm waits for what it made, and not for the pods of that.
    seconds = until(is_empty, what="an empty namespace", timeout_s=120)
    summary.put(pods_gone_s=round(seconds, 1))
