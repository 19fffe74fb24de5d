"""What happens to a training on an installed release while its servers go away and a node goes silent.

One training by veRL on two nodes has to live through all of it: the pods of MLflow and of S3 are deleted behind its
first step and come back by themselves; then the kubelet of the worker's node stops until Kubernetes has given it up.
"""

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from tests.cluster.conftest import START_S, until
from tests.cluster.release import BUCKET, RELEASE, SPACE, TRACKER, Release, begin_training, training_nodes
from tests.cluster.summary import Summary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NUM_STEPS: Final = 50
"""Some seconds each: enough for the servers to come back and for a node to be given up while the training runs."""
TRAIN_S: Final = 900.0
SERVERS: Final = ("mlflow", "s3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    """What a training left that lived through the faults."""

    ended: dict[str, Any]
    facts: dict[str, Any]
    num_steps_given_up: int | None
    """Steps taken by when Kubernetes gave the worker's node up; None where its kubelet could not be stopped."""


@pytest.fixture(scope="module")
def survived(release: Release, verl_python: Path, summary: Summary) -> Survived:
    run_id = f"faults-{uuid.uuid4().hex[:6]}"
    pod = begin_training(release, verl_python, run_id, str(NUM_STEPS))
    nodes = training_nodes(release, run_id)
    try:
        until(lambda: num_steps(release, run_id) >= 1, what="the first step", timeout_s=TRAIN_S)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{words(release, run_id)}") from error
    for name in SERVERS:
        labels = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={name}"
        release.kube.kubectl("-n", SPACE, "delete", "pod", "-l", labels, "--wait=false")
    back_s = until(lambda: servers_are_ready(release), what="MLflow and S3", timeout_s=START_S)
    (worker,) = (node for name, node in nodes.items() if name.endswith("worker-0"))
    given_up: int | None = None
    if kubelets := kubelets_of(worker):
        with silent(kubelets):
            until(lambda: not node_is_ready(release, worker), what=f"{worker} given up", timeout_s=120)
            given_up = num_steps(release, run_id)
    until(lambda: node_is_ready(release, worker), what=f"{worker} ready", timeout_s=120)
    ended = release.end(pod, want="Succeeded")
    assert ended["state"] == "succeeded", f"{ended['reason']}\n{words(release, run_id)}"
    facts = release.step("facts", TRACKER, run_id, BUCKET, f"checkpoints/{run_id}")
    summary.put(faults={"servers_back_s": round(back_s, 1), "state": ended["state"], "steps": facts["steps"]})
    return Survived(ended=ended, facts=facts, num_steps_given_up=given_up)


def num_steps(release: Release, run_id: str) -> int:
    """Steps that the training has written down."""
    told = sorted((release.folder / run_id / "train").glob("steps-*.jsonl"))
    return sum(path.read_text().count("\n") for path in told)


def words(release: Release, run_id: str) -> str:
    """What the training says."""
    said = release.folder / run_id / "train.log"
    return said.read_text(errors="replace")[-3000:] if said.exists() else "it said nothing"


def servers_are_ready(release: Release) -> bool:
    found = release.get("pods", "-l", f"app.kubernetes.io/instance={RELEASE}")["items"]
    ready = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in found
        if "deletionTimestamp" not in one["metadata"]
        and any(is_true(condition, "Ready") for condition in one["status"].get("conditions", []))
    }
    return ready >= set(SERVERS)


def node_is_ready(release: Release, node: str) -> bool:
    told = json.loads(release.kube.kubectl("get", "node", node, "-o", "json"))
    return any(is_true(condition, "Ready") for condition in told["status"]["conditions"])


def is_true(condition: dict[str, str], kind: str) -> bool:
    return condition["type"] == kind and condition["status"] == "True"


def kubelets_of(node: str) -> list[int]:
    """The processes of a node's kubelet, where it runs on this machine."""
    command = ["pgrep", "-f", f"kubelet .*hostname-override={node}( |$)"]
    return [int(line) for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()]


@contextmanager
def silent(kubelets: list[int]) -> Iterator[None]:
    """They do nothing within the block."""
    for number in kubelets:
        os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        for number in kubelets:
            os.kill(number, signal.SIGCONT)


def test_training_ends_as_if_nothing_had_happened(survived: Survived) -> None:
    assert survived.ended["state"] == "succeeded"


def test_every_step_is_with_the_tracker_that_went_away(survived: Survived) -> None:
    assert survived.facts["status"] == "FINISHED"
    assert survived.facts["steps"] == list(range(1, NUM_STEPS + 1))


def test_last_checkpoint_is_whole_in_the_store_that_went_away(survived: Survived) -> None:
    kept = [name for name in survived.facts["objects"] if name.endswith("manifest.json")]
    assert any(f"global_step_{NUM_STEPS}/" in name for name in kept), kept


def test_node_was_given_up_while_the_training_ran(survived: Survived) -> None:
    if survived.num_steps_given_up is None:
        pytest.skip("the kubelet of the worker's node is no process of this machine, so it was not stopped")
    assert 1 <= survived.num_steps_given_up < NUM_STEPS
