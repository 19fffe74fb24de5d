"""What the API server, KServe's webhooks and the pod security level `restricted` say of our objects."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from tests.cluster.conftest import Kube, until

from visionthink.cluster import Canary, Manifest, ModelVersion, serving_objects
from visionthink.config import RunConfig, override_config
from visionthink.errors import ClusterError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SPACE: Final = "visionthink-admission"
VERSION: Final = ModelVersion(uri="s3://models/ar/1")
CANARY: Final = Canary(version=ModelVersion(uri="s3://models/ar/2", name="v2"), percent=30)
STORAGE: Final[Manifest] = {
    "apiVersion": "serving.kserve.io/v1alpha1",
    "kind": "ClusterStorageContainer",
    "metadata": {"name": "visionthink-admission"},
    "spec": {
        "container": {
            "name": "storage-initializer",
            "image": "localhost/storage-initializer:v0.20.0",
            "resources": {"requests": {"cpu": "10m", "memory": "50Mi"}, "limits": {"memory": "1Gi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "runAsNonRoot": True,
            },
        },
        "supportedUriFormats": [{"prefix": "s3://"}],
    },
}
"""The storage initializer as KServe's own chart installs it, with a security context."""


def made(**settings: object) -> RunConfig:
    tree = {f"cluster.serving.{name}": value for name, value in settings.items()}
    return override_config(RunConfig(), {"cluster.namespace": SPACE, **tree})


def objects(config: RunConfig, canary: Canary | None = None) -> list[Manifest]:
    return serving_objects(config.cluster, config.serve, VERSION, canary)


@pytest.fixture(scope="module")
def space(kube: Kube) -> Iterator[str]:
    """A namespace that takes restricted pods only."""
    labels: dict[str, Any] = {"pod-security.kubernetes.io/enforce": "restricted"}
    kube.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": labels}})
    about: dict[str, Any] = {"name": "visionthink-serving", "namespace": SPACE}
    kube.api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about})
    kube.api.apply(STORAGE)
    try:
        yield SPACE
    finally:
        kube.api.delete(STORAGE)
        kube.kubectl("delete", "namespace", SPACE, "--timeout=100s")


@pytest.mark.parametrize(
    ("settings", "canary"),
    [
        ({}, None),
        ({}, CANARY),
        ({"weights": "kserve"}, CANARY),
        ({"autoscaler": "none", "min_replicas": 3}, None),
        ({"engine_mounts": ["/srv/python:/opt/python", "/srv/venv"], "engine_env": ["A=b=c", "E="]}, None),
        ({"engine": {"cpu": "250m", "memory": "1.5Gi"}, "loop": {"cpu": "1", "memory": "512Mi"}}, None),
        ({"name": "a" * 40, "runtime": "b" * 40, "hostname": "*.example.org", "start_s": 1}, None),
    ],
    ids=["defaults", "a canary", "KServe's weights", "no autoscaler", "mounts", "resources", "long names"],
)
def test_every_object_is_admitted(kube: Kube, space: str, settings: dict[str, object], canary: Canary | None) -> None:
    for manifest in objects(made(**settings), canary):
        admitted = kube.api.apply(manifest, dry_run=True)
        assert admitted["metadata"]["namespace"] == space


def test_what_a_webhook_refuses_is_told_in_its_words(kube: Kube, space: str) -> None:
    runtime = objects(made(engine_env=["PYTHONPATH=/opt/venv"]))[0]
    with pytest.raises(
        ClusterError, match=r"ServingRuntime visionthink-adaptive cannot be applied: .*PYTHONPATH"
    ) as got:
        kube.api.apply(runtime, dry_run=True)
    assert not got.value.retryable


def test_pods_are_let_into_a_restricted_namespace_and_keda_scales_them(kube: Kube, space: str) -> None:
    config = made(max_waiting=7)
    ours = objects(config, CANARY)
    service: Any = ours[1]
    for manifest in ours:
        kube.api.apply(manifest)
    try:
        for name in ("visionthink-predictor", "visionthink-v2-predictor"):
            until(lambda name=name: is_created(kube, name), what=f"a pod of {name}", timeout_s=90)  # type: ignore[misc]
        scaled: Manifest = {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "visionthink-predictor", "namespace": space},
        }
        (trigger,) = (kube.api.get(scaled) or {})["spec"]["triggers"]
        assert trigger["metadata"]["threshold"] == "7" and space in trigger["metadata"]["query"]
        # Applying again without it is the way in which a canary goes.
        without = kube.api.apply(objects(config)[1])
        assert "canary" not in without["spec"]
    finally:
        kube.api.delete(service)
    kube.api.delete(service)  # nothing is left to remove, and nobody minds


def is_created(kube: Kube, predictor: str) -> bool:
    told = kube.kubectl("-n", SPACE, "get", "pods", "-l", f"app=isvc.{predictor}", "-o", "name")
    return bool(told.strip())
