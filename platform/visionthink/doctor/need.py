"""What the platform needs of a cluster, as its settings say. Pure.

Rule: what the settings do not use is not asked for.
"""

from dataclasses import dataclass
from typing import Final

from visionthink.config import RunConfig
from visionthink.doctor.seen import Right

MIN_VERSION: Final = (1, 30)
_KSERVE: Final = "helm install kserve oci://ghcr.io/kserve/charts/kserve --version v0.20.0 -n kserve --create-namespace"
_TRAINING: Final = (
    "kubectl apply --server-side -k 'github.com/kubeflow/trainer.git/manifests/overlays/standalone?ref=v1.9.3'"
)
_GATEWAY: Final = (
    "kubectl apply -f https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.4.0/standard-install.yaml"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object that the server must know."""

    api: str
    """`group/version/Kind`."""
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A controller that must run."""

    name: str
    deployment: str
    """What its Deployment is called, in whatever namespace."""
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """All that is needed."""

    namespace: str
    account: str
    """The steps' service account."""
    kinds: tuple[Kind, ...]
    operators: tuple[Operator, ...]
    rights: tuple[Right, ...]
    claims: tuple[str, ...]
    num_nodes: int
    """Nodes of a training, each with `gpus_per_node`."""
    gpus_per_node: int


def need_of(config: RunConfig, account: str) -> Need:
    """What these settings need."""
    cluster = config.cluster
    trains = config.train.backend == "verl"
    return Need(
        namespace=cluster.namespace,
        account=account,
        kinds=_kinds(config),
        operators=(
            Operator(name="training operator", deployment="training-operator", mend=_TRAINING),
            Operator(name="KServe", deployment="kserve-controller-manager", mend=_KSERVE),
        ),
        rights=RIGHTS,
        claims=tuple(text.rpartition(":")[0] for text in cluster.training.claims) if trains else (),
        num_nodes=config.verl.num_nodes if trains else 0,
        gpus_per_node=config.verl.gpus_per_node,
    )


def _kinds(config: RunConfig) -> tuple[Kind, ...]:
    serving = config.cluster.serving
    found = [
        Kind(api="kubeflow.org/v1/PyTorchJob", mend=_TRAINING),
        Kind(api="serving.kserve.io/v1beta1/InferenceService", mend=_KSERVE),
        Kind(api="serving.kserve.io/v1alpha1/ServingRuntime", mend=_KSERVE),
    ]
    if serving.weights == "route":
        found.append(Kind(api="gateway.networking.k8s.io/v1/HTTPRoute", mend=_GATEWAY))
    if serving.autoscaler == "keda":
        keda = "helm install keda keda --repo https://kedacore.github.io/charts -n keda --create-namespace"
        found.append(Kind(api="keda.sh/v1alpha1/ScaledObject", mend=f"{keda}, or set cluster.serving.autoscaler=none"))
    if config.cluster.training.queue is not None:
        kueue = "helm install kueue oci://registry.k8s.io/kueue/charts/kueue -n kueue-system --create-namespace"
        found.append(Kind(api="kueue.x-k8s.io/v1beta1/LocalQueue", mend=kueue))
    return tuple(found)


def _rights(group: str, resource: str, *verbs: str) -> tuple[Right, ...]:
    return tuple(Right(group=group, resource=resource, verb=verb) for verb in verbs)


RIGHTS: Final = (
    *_rights("kubeflow.org", "pytorchjobs", "get", "list", "watch", "create", "delete"),
    *_rights("", "pods", "get", "list", "watch"),
    *_rights("", "pods/log", "get"),
    *_rights("serving.kserve.io", "inferenceservices", "get", "patch"),
    *_rights("gateway.networking.k8s.io", "httproutes", "get", "create", "patch"),
    *_rights("", "configmaps", "get", "create", "patch"),
    *_rights("discovery.k8s.io", "endpointslices", "get", "list"),
)
"""What the steps of a pipeline do in their namespace."""
