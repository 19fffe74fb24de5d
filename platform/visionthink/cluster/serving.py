"""The InferenceService of a model, with or without a canary, and what stands beside it.

Rule: KServe runs the pods (Standard mode), and every version's predictor has a Service of its own. What KServe 0.20
cannot do (weights) is done by a route of ours over those Services; KServe's own route then stays inside the cluster.
"""

from dataclasses import dataclass
from typing import Final

from visionthink.cluster.manifest import Manifest, metadata, pod_security
from visionthink.cluster.route import Share, weighted_route
from visionthink.cluster.serving_runtime import MODEL_FORMAT, serving_runtime
from visionthink.config import ClusterConfig, ServeConfig, ServingConfig
from visionthink.core.json_value import Json
from visionthink.errors import ConfigError

_SPARE_S: Final = 30
"""Seconds between the last request of a pod and its end by force, for vLLM to give its memory back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version of the served model."""

    uri: str
    """Its prefix, which never changes."""
    name: str | None = None
    """What its predictor is called; None is the one that KServe names itself."""

    def service(self, inference_service: str) -> str:
        """The Service of its predictor."""
        return "-".join(filter(None, (inference_service, self.name, "predictor")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A version beside the one in use."""

    version: ModelVersion
    """It needs a name."""
    percent: int
    """Its share of the requests; 0 runs it without any."""
    num_replicas: int = 1
    """Its pods; without a number, KServe would run none of a canary that gets no requests."""


def serving_objects(
    cluster: ClusterConfig, serve: ServeConfig, version: ModelVersion, canary: Canary | None = None
) -> list[Manifest]:
    """Everything that serves a version, in the order in which it is applied.

    Raises:
        ConfigError: the settings contradict each other.
    """
    objects = [
        serving_runtime(cluster, serve),
        inference_service(cluster, serve, version, canary),
        disruption_budget(cluster),
    ]
    if cluster.serving.weights == "route":
        objects.append(weighted_route(cluster, shares(cluster.serving.name, version, canary)))
    return objects


def shares(name: str, version: ModelVersion, canary: Canary | None) -> tuple[Share, ...]:
    """Who gets how many of a hundred requests to the InferenceService `name`."""
    percent = canary.percent if canary else 0
    stable = Share(service=version.service(name), weight=100 - percent)
    return (stable, Share(service=canary.version.service(name), weight=percent)) if canary else (stable,)


def inference_service(
    cluster: ClusterConfig, serve: ServeConfig, version: ModelVersion, canary: Canary | None = None
) -> Manifest:
    """The InferenceService.

    Raises:
        ConfigError: a request may take longer than the gateway or a pod that ends waits for it.
    """
    serving = cluster.serving
    _check_times(serving, serve)
    annotations = {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": serving.autoscaler,
    }
    about = metadata(serving.name, cluster.namespace, annotations=annotations)
    if serving.weights == "route":
        about["labels"] = {**_labels(about), "networking.kserve.io/visibility": "cluster-local"}
    spec: dict[str, Json] = {"predictor": _predictor(cluster, version)}
    if canary is not None:
        spec["canary"] = canary_spec(serving, canary)
    return {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": about, "spec": spec}


def disruption_budget(cluster: ClusterConfig) -> Manifest:
    """At most one pod of the model is taken away at a time when nodes are emptied."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(cluster.serving.name, cluster.namespace),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {"serving.kserve.io/inferenceservice": cluster.serving.name}},
        },
    }


def _predictor(cluster: ClusterConfig, version: ModelVersion) -> dict[str, Json]:
    serving = cluster.serving
    named: dict[str, Json] = {"name": version.name} if version.name else {}
    scaled: dict[str, Json] = (
        {"autoScaling": {"metrics": [_waiting(cluster, version)]}} if serving.autoscaler == "keda" else {}
    )
    tolerations: list[Json] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return {
        **named,
        "serviceAccountName": serving.service_account,
        "automountServiceAccountToken": False,
        "minReplicas": serving.min_replicas,
        "maxReplicas": serving.max_replicas if serving.autoscaler == "keda" else serving.min_replicas,
        "timeout": serving.timeout_s,
        "terminationGracePeriodSeconds": serving.leave_s + serving.drain_s + _SPARE_S,
        # A new pod is ready before an old one goes: a change of version costs a pod's room, and no request.
        "deploymentStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "securityContext": pod_security(),
        **({"tolerations": tolerations} if serving.engine.gpus else {}),
        **scaled,
        "model": _model(serving, version),
    }


def canary_spec(serving: ServingConfig, canary: Canary) -> list[Json]:
    """What an InferenceService says of its canary; KServe lays it over the stable predictor.

    Raises:
        ConfigError: the version has no name.
    """
    version = canary.version
    if version.name is None:
        raise ConfigError(f"the canary of {serving.name} has no name; give it its version's, such as v13")
    predictor: dict[str, Json] = {
        "name": version.name,
        "minReplicas": canary.num_replicas,
        "model": {"name": "", **_model(serving, version)},
    }
    return [{"trafficPercent": canary.percent, "predictor": predictor}]


def _model(serving: ServingConfig, version: ModelVersion) -> dict[str, Json]:
    return {"modelFormat": {"name": MODEL_FORMAT}, "runtime": serving.runtime, "storageUri": version.uri}


def _waiting(cluster: ClusterConfig, version: ModelVersion) -> dict[str, Json]:
    """How many requests wait in the vLLMs of this model; KServe reads the threshold from `value` alone."""
    serving = cluster.serving
    pods = f'namespace="{cluster.namespace}",pod=~"{version.service(serving.name)}-.*"'
    return {
        "type": "External",
        "external": {
            "metric": {
                "backend": "prometheus",
                "serverAddress": serving.prometheus,
                "query": f"sum(vllm:num_requests_waiting{{{pods}}})",
            },
            "target": {"type": "Value", "value": str(serving.max_waiting)},
        },
    }


def _labels(about: dict[str, Json]) -> dict[str, Json]:
    labels = about["labels"]
    assert isinstance(labels, dict)
    return labels


def _check_times(serving: ServingConfig, serve: ServeConfig) -> None:
    for name, seconds in (("timeout_s", serving.timeout_s), ("drain_s", serving.drain_s)):
        if seconds < serve.timeout_s:
            raise ConfigError(
                f"cluster.serving.{name} is {seconds} and serve.timeout_s {serve.timeout_s:g}: requests would be cut "
                f"off; raise the first or lower the second"
            )
