"""The doctor on a real cluster: what is there is right, and what is broken on purpose is named with its mend."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.cluster.conftest import Bucket, Kube, until

from visionthink.cluster import Manifest
from visionthink.doctor.need import RIGHTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
NAMESPACE: Final = "visionthink-doctor-e2e"
ACCOUNT: Final = "visionthink-pipeline"
_GROUP: Final = "rbac.authorization.k8s.io"
_ABOUT: Final[dict[str, Any]] = {"name": ACCOUNT, "namespace": NAMESPACE}
_CLASS: Final[Manifest] = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "doctor-e2e",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "example.com/none",
}


def _role(*, without: str = "") -> Manifest:
    rules: list[Any] = [
        {"apiGroups": [one.group], "resources": [one.resource], "verbs": [one.verb]}
        for one in RIGHTS
        if str(one) != without
    ]
    return {"apiVersion": f"{_GROUP}/v1", "kind": "Role", "metadata": dict(_ABOUT), "rules": rules}


@pytest.fixture(scope="module")
def installed(kube: Kube) -> Iterator[Kube]:
    """A namespace with the steps' account and rights, and a default StorageClass."""
    manifests: tuple[Manifest, ...] = (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": dict(_ABOUT)},
        _role(),
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "RoleBinding",
            "metadata": dict(_ABOUT),
            "roleRef": {"apiGroup": _GROUP, "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
        },
        _CLASS,
    )
    for manifest in manifests:
        kube.api.apply(manifest)
    try:
        yield kube
    finally:
        kube.kubectl("delete", "storageclass", "doctor-e2e")
        kube.kubectl("delete", "namespace", NAMESPACE, "--timeout=180s", timeout_s=200)


def examined(kube: Kube, *settings: str, env: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """The exit code, and the diagnoses by name."""
    given = [word for one in ("cluster.serving.autoscaler=none", *settings) for word in ("--set", one)]
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "visionthink"),
            *("doctor", "--json", "--namespace", NAMESPACE, "--kubeconfig", str(kube.kubeconfig), *given),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, **(env or {})},
    )
    assert done.stdout, done.stderr
    return done.returncode, {one["name"]: one for one in json.loads(done.stdout)["checks"]}


def keys(bucket: Bucket) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_S3": f"http://{bucket.endpoint}",
        "AWS_ACCESS_KEY_ID": "testkey",
        "AWS_SECRET_ACCESS_KEY": "testsecret",
    }


def test_cluster_that_has_everything_is_healthy(installed: Kube, bucket: Bucket) -> None:
    store = f"register_model.store=s3://{bucket.name}/doctor-e2e"
    code, found = examined(installed, store, "train.backend=verl", "verl.gpus_per_node=1", env=keys(bucket))
    wrong = [one for one in found.values() if one["health"] == "wrong"]
    assert wrong == [] and code == 0
    for name in (
        *("API server", "kind PyTorchJob", "kind InferenceService", "kind ServingRuntime", "kind HTTPRoute"),
        *("admission of PyTorchJob", "admission of InferenceService", "storage class", "GPUs", "object store"),
        *("training operator", "KServe", f"rights of {NAMESPACE}/{ACCOUNT}"),
    ):
        assert found[name]["health"] == "ok", found[name]
    listed = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix="doctor-e2e")
    assert listed.get("KeyCount", 0) == 0, "what was written is removed"


def test_missing_right_is_named(installed: Kube) -> None:
    installed.api.apply(_role(without="watch pytorchjobs.kubeflow.org"))
    try:
        code, found = examined(installed)
        diagnosis = found[f"rights of {NAMESPACE}/{ACCOUNT}"]
        assert code == 1 and diagnosis["health"] == "wrong"
        assert diagnosis["found"] == "it may not watch pytorchjobs.kubeflow.org" and "helm upgrade" in diagnosis["mend"]
    finally:
        installed.api.apply(_role())


def test_storage_class_that_is_no_default_is_told_with_the_command_that_makes_it_one(installed: Kube) -> None:
    off = {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "false"}}}
    installed.api.merge(_CLASS, off)
    try:
        code, found = examined(installed)
        assert code == 1 and found["storage class"]["health"] == "wrong"
        assert found["storage class"]["mend"].startswith("kubectl annotate storageclass")
    finally:
        installed.api.apply(_CLASS)


def test_operator_without_pods_is_told_by_its_name_and_by_what_it_no_longer_admits(installed: Kube) -> None:
    scale = ("-n", "kubeflow", "scale", "deployment", "training-operator")
    installed.kubectl(*scale, "--replicas=0")
    try:
        until(lambda: not _endpoints(installed), what="no pod", timeout_s=90)
        code, found = examined(installed)
        assert code == 1
        assert found["training operator"]["health"] == "wrong" and found["training operator"]["mend"]
        admission = found["admission of PyTorchJob"]
        assert admission["health"] == "wrong" and "webhook" in admission["found"]
    finally:
        installed.kubectl(*scale, "--replicas=1")
        until(lambda: bool(_endpoints(installed)), what="the operator", timeout_s=90)


def _endpoints(kube: Kube) -> list[str]:
    """The addresses behind the operator's Service."""
    label = "kubernetes.io/service-name=training-operator"
    found = json.loads(kube.kubectl("-n", "kubeflow", "get", "endpointslices", "-l", label, "-o", "json"))
    # Where there are none, the list itself is null.
    ends = [end for piece in found["items"] for end in piece.get("endpoints") or () if end["conditions"].get("ready")]
    return [address for end in ends for address in end["addresses"]]


@pytest.mark.parametrize(
    ("settings", "env", "name", "told"),
    [
        (["verl.gpus_per_node=64", "train.backend=verl"], {}, "GPUs", "1 x 64 wanted"),
        (["cluster.training.claims=['nobody:/runs']", "train.backend=verl"], {}, "claim nobody", "there is none"),
        (["cluster.training.queue=q"], {}, "kind LocalQueue", "kueue.x-k8s.io is not known here"),
        (
            ["register_model.store=s3://models/x"],
            {"AWS_SECRET_ACCESS_KEY": "wrong"},
            "object store",
            "s3://models/x",
        ),
        (["tracking.uri=http://127.0.0.1:9"], {}, "MLflow", "nothing answers"),
    ],
)
def test_broken_thing_is_told(
    installed: Kube, bucket: Bucket, settings: list[str], env: dict[str, str], name: str, told: str
) -> None:
    if name == "kind LocalQueue" and "localqueues.kueue.x-k8s.io" in installed.kubectl("get", "crds", "-o", "name"):
        pytest.skip("this cluster has Kueue, so nothing is missing")
    code, found = examined(installed, *settings, env=keys(bucket) | env)
    assert code == 1
    assert found[name]["health"] == "wrong" and told in found[name]["found"] and found[name]["mend"], found[name]
