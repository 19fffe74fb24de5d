"""Values that are refused, with their key; and prerequisites that are missing, with the way out."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.contract.chart.conftest import APIS, CHART, Helm

FREE = ("podSecurityContext", "containerSecurityContext", "affinity", "settings", "global", "extraObjects")
"""What Kubernetes or the package checks, and not the chart."""


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"mlflow.replicass": 2}, ["'/mlflow'", "replicass"]),
        ({"nonsense": 1}, ["nonsense"]),
        ({"mlflow.replicas": "two"}, ["/mlflow/replicas", "integer"]),
        ({"s3.mode": "minio"}, ["/s3/mode", "embedded", "external"]),
        ({"s3.bucket": "No Bucket"}, ["/s3/bucket"]),
        ({"serving.engine.image.digest": "abc"}, ["/serving/engine/image/digest"]),
        ({"serving.engine.gpus": -1}, ["/serving/engine/gpus"]),
        ({"serving.engine.memory": "lots"}, ["/serving/engine/memory"]),
        ({"serving.engine.env": ["A"]}, ["/serving/engine/env/0"]),
        ({"serving.modelUri": "/models/1"}, ["/serving/modelUri"]),
        ({"serviceAccounts.nobody": {}}, ["/serviceAccounts", "nobody"]),
        ({"mlflow.resources": {"request": {}}}, ["/mlflow/resources", "request"]),
        ({"imagePullSecrets": ["name"]}, ["/imagePullSecrets/0"]),
        ({"monitoring.rules.maxErrorRatio": 2}, ["/monitoring/rules/maxErrorRatio"]),
        ({"mlflow.service.port": 70000}, ["/mlflow/service/port"]),
        ({"pipeline.upload.pipelines": ["serve"]}, ["/pipeline/upload/pipelines/0", "rollback"]),
        ({"pipeline.upload.url": "ml-pipeline:8888"}, ["/pipeline/upload/url"]),
    ],
)
def test_wrong_value_is_refused_with_its_key(helm: Helm, values: dict[str, object], told: list[str]) -> None:
    refusal = helm.refusal(values)
    assert all(word in refusal for word in told), refusal


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"mlflow.enabled": False}, "mlflow.externalUrl is empty"),
        ({"mlflow.replicas": 2}, "mlflow.replicas is 2 without a database"),
        ({"mlflow.auth.enabled": True}, "mlflow.auth.existingSecret is empty"),
        ({"judge.enabled": True}, "judge.model is empty"),
        ({"kueue.enabled": True}, "kueue.clusterQueue is empty"),
        ({"serving.timeoutSeconds": 30}, "serving.timeoutSeconds is 30 and serving.loop.settings.timeout_s 60"),
        (
            {"serving.loop.settings": {"timeout_s": 90}},
            "serving.drainSeconds is 60 and serving.loop.settings.timeout_s 90",
        ),
        ({"serving.minReplicas": 9}, "serving.minReplicas (9) is above serving.maxReplicas (4)"),
    ],
)
def test_values_that_contradict_each_other_are_refused(helm: Helm, values: dict[str, object], told: str) -> None:
    assert told in helm.refusal(values)


def test_everything_that_is_wrong_is_told_at_once(helm: Helm) -> None:
    refusal = helm.refusal({"kueue.enabled": True, "judge.enabled": True}, apis=())
    for told in (
        "kueue.clusterQueue",
        "judge.model",
        "install Kueue",
        "serving.enabled=false",
        "training.enabled=false",
    ):
        assert told in refusal


@pytest.mark.parametrize(
    ("values", "api", "way_out"),
    [
        ({}, "serving.kserve.io/v1alpha1/ServingRuntime", {"serving.enabled": False}),
        ({}, "kubeflow.org/v1/PyTorchJob", {"training.enabled": False}),
        ({"serving.modelUri": "s3://a/b"}, "gateway.networking.k8s.io/v1/HTTPRoute", {"serving.weights": "kserve"}),
        (
            {"serving.modelUri": "s3://a/b", "serving.autoscaler": "keda"},
            "keda.sh/v1alpha1/ScaledObject",
            {"serving.autoscaler": "none"},
        ),
        (
            {"kueue.enabled": True, "kueue.clusterQueue": "gpu"},
            "kueue.x-k8s.io/v1beta1/LocalQueue",
            {"kueue.enabled": False},
        ),
        ({"monitoring.enabled": True}, "monitoring.coreos.com/v1/PodMonitor", {"monitoring.enabled": False}),
    ],
)
def test_missing_operator_is_told_with_the_way_out(
    helm: Helm, values: dict[str, object], api: str, way_out: dict[str, object]
) -> None:
    apis = [one for one in APIS if one != api]
    refusal = helm.refusal(values, apis=apis)
    ((key, value),) = way_out.items()
    shown = value if isinstance(value, str) else json.dumps(value)
    assert f"{api} is not known here" in refusal and f"{key}={shown}" in refusal
    done = helm.template({**values, **way_out}, apis=apis)
    assert done.returncode == 0, done.stderr


def test_check_can_be_left_out(helm: Helm) -> None:
    assert helm.template({"checkPrerequisites": False}, apis=()).returncode == 0


def _open(schema: Any, where: str = "") -> Iterator[str]:
    if schema.get("type") == "object" and where.split(".")[-1] not in FREE:
        if schema.get("additionalProperties", True) is True:
            yield where
        for key, below in schema.get("properties", {}).items():
            yield from _open(below, f"{where}.{key}".strip("."))


def test_schema_is_closed_and_knows_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert list(_open(schema)) == []
    assert [name for name, one in schema["definitions"].items() if one.get("additionalProperties", True) is True] == []

    def compare(values: Any, of: Any, where: str) -> None:
        if "properties" in of:
            assert set(values) == set(of["properties"]) - {"global"}, where
            for key, value in values.items():
                compare(value, of["properties"][key], f"{where}.{key}")

    compare(yaml.safe_load((CHART / "values.yaml").read_text()), schema, "")
