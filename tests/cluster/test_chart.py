"""The chart on a real cluster: what its API server admits, what its pipeline may do, what an upgrade leaves alone.

A whole life of a release, with its pods, is told by `test_end_to_end`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import yaml
from tests.cluster.conftest import ROOT, Kube
from tests.cluster.helm import CHART, FORCED, Helm

from visionthink.cluster import Canary, ModelVersion, inference_service
from visionthink.cluster.route import weighted_route
from visionthink.cluster.serving import shares
from visionthink.config import RunConfig, override_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STRICT: Final = "visionthink-chart-strict"
RELEASE: Final = "vt"


@pytest.fixture(scope="module")
def helm(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(kube, tmp_path_factory.mktemp("helm"))


OPTIONAL: Final = {
    "localqueues.kueue.x-k8s.io": "kueue-v0.19.2/kueue.x-k8s.io_localqueues.yaml",
    "podmonitors.monitoring.coreos.com": "prometheus-operator-v0.93.0",
}
"""Definitions that the tests bring along where a cluster has none, from those that lie beside the checkout."""


@pytest.fixture(scope="module")
def strict(kube: Kube) -> Iterator[str]:
    """A namespace that takes restricted pods only, on a cluster that knows every kind."""
    known = kube.kubectl("get", "crds", "-o", "name")
    brought = []
    for name, place in OPTIONAL.items():
        path = ROOT.parent / "shared" / "crds" / place
        if name not in known and path.exists():
            kube.kubectl("apply", "--server-side", "-f", str(path))
            brought.append(str(path))
            kube.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{name}")
        elif name not in known:
            pytest.skip(f"this cluster does not know {name}")
    labels: dict[str, Any] = {"pod-security.kubernetes.io/enforce": "restricted"}
    kube.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": STRICT, "labels": labels}})
    yield STRICT
    kube.kubectl("delete", "namespace", STRICT, "--timeout=100s")
    for file in brought:
        kube.kubectl("delete", "-f", file)


def rendered(helm: Helm, kube: Kube, profile: str | None, values: Mapping[str, object]) -> list[Any]:
    """What would be installed; helm asks the cluster what it knows."""
    files = [f"--values={CHART / f'values-{profile}.yaml'}"] if profile else []
    text = helm("template", RELEASE, CHART, "--namespace", STRICT, "--dry-run=server", *files, values=values)
    return [one for one in yaml.safe_load_all(text) if one]


FEATURES: Final[list[dict[str, object]]] = [
    {},
    {"serving.modelUri": "s3://visionthink/1", "networkPolicy.enabled": True, "serving.autoscaler": "none"},
    {"mlflow.enabled": False, "mlflow.externalUrl": "https://mlflow.example.com", "s3.mode": "external"},
    {"judge.enabled": True, "judge.model": "org/model", "judge.replicas": 2, "monitoring.enabled": True},
    {
        "fullnameOverride": "a" * 30,
        "serving.tolerations": [{"key": "a", "operator": "Exists"}],
        "mlflow.priorityClassName": "system-node-critical",
        "mlflow.affinity": {"nodeAffinity": {}},
        "mlflow.extraEnv": [{"name": "A", "value": "b"}],
        "serving.loop.extraEnvFrom": [{"secretRef": {"name": "keys"}}],
        "serving.nodeSelector": {"gpu": "h100"},
        "monitoring": {"enabled": True, "dashboards": {"training": True}},
    },
]


@pytest.mark.parametrize(
    ("profile", "values"),
    [("trial", {}), ("production", {}), *((None, values) for values in FEATURES)],
    ids=["trial", "production", "defaults", "a model", "all outside", "a judge", "every knob"],
)
def test_every_object_is_admitted_and_every_pod_is_restricted(
    kube: Kube, helm: Helm, strict: str, profile: str | None, values: dict[str, object]
) -> None:
    for made in rendered(helm, kube, profile, values):
        admitted = kube.api.apply(made, dry_run=True)
        assert admitted["metadata"]["namespace"] == strict
        template = made["spec"].get("template") if made["kind"] in {"Deployment", "StatefulSet"} else None
        if template:
            claims = made["spec"].get("volumeClaimTemplates", [])
            volumes = [{"name": one["metadata"]["name"], "emptyDir": {}} for one in claims]
            # Admission looks for these before it looks at the pod.
            spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
            spec["volumes"] = [*spec["volumes"], *volumes]
            about = {**template["metadata"], "name": made["metadata"]["name"], "namespace": strict}
            kube.api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}, dry_run=True)


MAY: Final = [
    ("create", "pytorchjobs.kubeflow.org"),
    ("delete", "pytorchjobs.kubeflow.org"),
    ("watch", "pytorchjobs.kubeflow.org"),
    ("list", "pods"),
    ("get", "pods/log"),
    ("patch", "inferenceservices.serving.kserve.io"),
    ("patch", "httproutes.gateway.networking.k8s.io"),
    ("patch", "poddisruptionbudgets.policy"),
    ("create", "configmaps"),
    ("list", "endpointslices.discovery.k8s.io"),
    ("get", "secrets/mlpipeline-minio-artifact"),
    ("create", "workflowtaskresults.argoproj.io"),
]
MAY_NOT: Final = [
    ("get", f"secrets/{RELEASE}-visionthink-s3"),
    ("list", "secrets"),
    ("delete", "configmaps"),
    ("create", "pods"),
    ("create", "pods/exec"),
    ("delete", "pods"),
    ("patch", "deployments.apps"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("delete", "persistentvolumeclaims"),
    ("get", "nodes"),
]


def may(kube: Kube, account: str, verb: str, what: str, space: str = STRICT) -> bool:
    """What the API server says, as the one that decides."""
    kind, _, name = what.partition("/")
    is_sub = name in {"log", "exec"}
    resource, _, group = kind.partition(".")
    attributes = {"namespace": space, "verb": verb, "group": group, "resource": resource}
    attributes |= {"subresource": name} if is_sub else {"name": name}
    review: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:{STRICT}:{account}", "resourceAttributes": attributes},
    }
    from kubernetes import client, config

    api = client.AuthorizationV1Api(config.new_client_from_config(str(kube.kubeconfig)))
    return bool(api.create_subject_access_review(review).status.allowed)


def test_pipeline_may_do_what_it_does_and_nothing_else(kube: Kube, helm: Helm, strict: str) -> None:
    kinds = {"ServiceAccount", "Role", "RoleBinding"}
    for made in rendered(helm, kube, None, {}):
        if made["kind"] in kinds:
            kube.api.apply(made)
    pipeline = f"{RELEASE}-visionthink-pipeline"
    assert [one for one in MAY if not may(kube, pipeline, *one)] == []
    assert [one for one in MAY_NOT if may(kube, pipeline, *one)] == []
    assert not may(kube, pipeline, "create", "pytorchjobs.kubeflow.org", space="default")
    for other in ("trainer", "serving", "mlflow"):
        assert not any(may(kube, f"{RELEASE}-visionthink-{other}", *one) for one in MAY), other


def test_upgrade_keeps_the_versions_and_weights_of_a_rollout(kube: Kube, helm: Helm, strict: str) -> None:
    values: dict[str, object] = {
        "mlflow": {"enabled": False, "externalUrl": "http://mlflow.example.com"},
        "s3.mode": "external",
        "runs.enabled": False,
        "serving.modelUri": "s3://models/1",
    }
    # A name of its own: this namespace has objects of the other release.
    release = "kept"
    name = f"{release}-visionthink"
    space = ["--namespace", strict]
    helm("install", release, CHART, *space, values=values)
    try:
        tree: dict[str, object] = {"cluster.namespace": strict, "cluster.serving.name": name}
        tree |= {"cluster.serving.runtime": f"{name}-adaptive", "cluster.serving.service_account": f"{name}-serving"}
        cluster = override_config(RunConfig(), {**tree, "cluster.serving.autoscaler": "none"}).cluster
        second = ModelVersion(uri="s3://models/2", name="v2")
        third = Canary(version=ModelVersion(uri="s3://models/3", name="v3"), percent=30)
        service = inference_service(cluster, RunConfig().serve, second, third)
        route = weighted_route(cluster, shares(name, second, third))
        for made in (service, route):
            kube.api.apply(made)
        helm("upgrade", release, CHART, *space, *FORCED, values={**values, "serving.timeoutSeconds": 300})
        spec = (kube.api.get(service) or {})["spec"]
        assert spec["predictor"]["timeout"] == 300
        assert (spec["predictor"]["name"], spec["predictor"]["model"]["storageUri"]) == ("v2", "s3://models/2")
        assert [(one["trafficPercent"], one["predictor"]["name"]) for one in spec["canary"]] == [(30, "v3")]
        (rule,) = (kube.api.get(route) or {})["spec"]["rules"]
        assert [one["weight"] for one in rule["backendRefs"]] == [70, 30]
    finally:
        helm("uninstall", release, *space)
