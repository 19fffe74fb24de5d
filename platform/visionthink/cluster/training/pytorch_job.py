"""A training as a PyTorchJob: settings in, one object out. Pure.

Rule: every pod runs the same node entry point, which makes one Ray of them; the operator only says who is who. The job
is the Master's: it succeeds and fails with it, and `cleanPodPolicy: Running` then frees the workers' GPUs, which the
operator would keep by default.
"""

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, cast

from visionthink.cluster.manifest import Manifest, container_security, environment, metadata, pod_security
from visionthink.cluster.training.backend import TrainingJob, job_name
from visionthink.cluster.training.pod_fields import PodFields, with_fields
from visionthink.config import RunConfig, TrainingJobConfig
from visionthink.core.json_value import Json

if TYPE_CHECKING:
    from kubeflow.training import KubeflowOrgV1ReplicaSpec

API_VERSION: Final = "kubeflow.org/v1"
KIND: Final = "PyTorchJob"
CONTAINER: Final = "pytorch"
"""The name by which the operator knows the container that counts."""
RUN_ANNOTATION: Final = "visionthink/run-id"
DIGEST_ANNOTATION: Final = "visionthink/digest"
"""Of what was asked for, to tell whether a job that is there is this one."""
RAY_PORT: Final = 6379
_OPERATOR_PORT: Final = 23456
_QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
_SCRATCH: Final = "/tmp"
_OBJECT_STORE_RATIO: Final = 0.75
"""Of the shared memory; the rest is for collectives. Left to itself Ray wants 30 % of the container's memory, and keeps
objects on the disk when the shared memory has less."""
_MIN_OBJECT_STORE_BYTES: Final = 75 * 2**20
"""Ray takes no less."""
_UNITS: Final = {
    **{name: 1000**power for power, name in enumerate(("", "k", "M", "G", "T"))},
    **{f"{name}i": 1024 ** (power + 1) for power, name in enumerate("KMGT")},
    "m": 0.001,
}


def pytorch_job(config: RunConfig, job: TrainingJob, fields: PodFields | None = None) -> Manifest:
    """The PyTorchJob of a run; every pod of it also has `fields`."""
    from kubeflow.training import (
        KubeflowOrgV1PyTorchJob,
        KubeflowOrgV1PyTorchJobSpec,
        KubeflowOrgV1ReplicaSpec,
        KubeflowOrgV1RunPolicy,
    )
    from kubernetes.client import ApiClient

    settings = config.cluster.training

    def replicas(count: int) -> "KubeflowOrgV1ReplicaSpec":
        template = _template(config, job)
        if fields is not None:
            template["spec"] = with_fields(cast("dict[str, Json]", template["spec"]), fields)
        return KubeflowOrgV1ReplicaSpec(replicas=count, restart_policy=settings.restart_policy, template=template)

    roles = {"Master": replicas(1)}
    if config.verl.num_nodes > 1:
        roles["Worker"] = replicas(config.verl.num_nodes - 1)
    spec = KubeflowOrgV1PyTorchJobSpec(
        # Counted by the operator alone: nodes are told their GPUs by their own option.
        nproc_per_node="1",
        pytorch_replica_specs=roles,
        run_policy=KubeflowOrgV1RunPolicy(
            clean_pod_policy="Running",
            backoff_limit=settings.backoff_limit,
            active_deadline_seconds=settings.active_deadline_s,
            ttl_seconds_after_finished=settings.ttl_s,
            suspend=settings.queue is not None,
        ),
    )
    plain = ApiClient().sanitize_for_serialization(
        KubeflowOrgV1PyTorchJob(api_version=API_VERSION, kind=KIND, spec=spec)
    )
    return {**plain, "metadata": _metadata(config, job, plain["spec"])}


def _metadata(config: RunConfig, job: TrainingJob, spec: Any) -> dict[str, Json]:
    digest = hashlib.blake2b(json.dumps(spec, sort_keys=True).encode(), digest_size=8).hexdigest()
    annotations = {RUN_ANNOTATION: job.run_id, DIGEST_ANNOTATION: digest}
    found = metadata(job_name(job.run_id), config.cluster.namespace, annotations=annotations)
    labels = found["labels"]
    assert isinstance(labels, dict)
    queue = config.cluster.training.queue
    # Set here and not by the SDK, which asks Kueue first and gives up when Kueue does not answer.
    return {**found, "labels": {**labels, **({_QUEUE_LABEL: queue} if queue is not None else {})}}


def _template(config: RunConfig, job: TrainingJob) -> dict[str, Json]:
    settings = config.cluster.training
    optional: dict[str, Json] = {}
    if settings.active_deadline_s is not None:
        # The training operator 1.9 looks at a job's own deadline only when something else happens to the job
        # (kubeflow/trainer#3358); a pod that its kubelet ends is such a thing.
        optional["activeDeadlineSeconds"] = settings.active_deadline_s
    if settings.priority_class is not None:
        optional["priorityClassName"] = settings.priority_class
    if settings.node_selector:
        optional["nodeSelector"] = {
            name: value for name, _, value in (p.partition("=") for p in settings.node_selector)
        }
    return {
        "metadata": {"annotations": {"sidecar.istio.io/inject": "false"}},
        "spec": {
            "serviceAccountName": settings.service_account,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": settings.grace_s,
            "securityContext": pod_security(),
            "containers": [_container(config, job)],
            "tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in settings.tolerations],
            "volumes": _volumes(settings),
            **optional,
        },
    }


def _container(config: RunConfig, job: TrainingJob) -> dict[str, Json]:
    settings, verl = config.cluster.training, config.verl
    gpus: dict[str, Json] = {"nvidia.com/gpu": verl.gpus_per_node}
    limits: dict[str, Json] = {"memory": settings.memory, **gpus}
    secrets: list[Json] = [{"secretRef": {"name": name}} for name in settings.secrets]
    return {
        "name": CONTAINER,
        "image": settings.image,
        "command": [*settings.command],
        "args": [*_node_arguments(config, job), "--", *job.program],
        "ports": [
            {"name": "pytorchjob-port", "containerPort": _OPERATOR_PORT, "protocol": "TCP"},
            {"name": "ray-gcs", "containerPort": RAY_PORT, "protocol": "TCP"},
        ],
        "env": [*environment([f"HOME={_SCRATCH}", *settings.env]), *_ray_token(settings)],
        **({"envFrom": secrets} if secrets else {}),
        "resources": {"requests": {"cpu": settings.cpu or str(verl.cpus_per_node), **limits}, "limits": limits},
        "securityContext": container_security(),
        "volumeMounts": _mounts(settings),
    }


def _node_arguments(config: RunConfig, job: TrainingJob) -> list[Json]:
    settings, verl = config.cluster.training, config.verl
    steps: list[Json] = [f"--steps-file={job.steps_file}"] if job.steps_file is not None else []
    return [
        *("train", "node"),
        f"--cpus={verl.cpus_per_node}",
        f"--gpus={verl.gpus_per_node}",
        f"--ray-port={RAY_PORT}",
        f"--object-store-bytes={_object_store_bytes(settings.shared_memory)}",
        f"--storage-units={verl.num_storage_units}",
        f"--join-timeout={settings.join_timeout_s}",
        f"--grace={settings.grace_s}",
        f"--steps={job.num_steps}",
        *steps,
    ]


def _object_store_bytes(shared_memory: str) -> int:
    number = shared_memory.rstrip("kKMGTim")
    size_bytes = float(number) * _UNITS[shared_memory.removeprefix(number)]
    return max(_MIN_OBJECT_STORE_BYTES, int(_OBJECT_STORE_RATIO * size_bytes))


def _ray_token(settings: TrainingJobConfig) -> list[Json]:
    if settings.ray_secret is None:
        return [{"name": "RAY_AUTH_MODE", "value": "disabled"}]
    token: Json = {"secretKeyRef": {"name": settings.ray_secret, "key": "token"}}
    return [{"name": "RAY_AUTH_MODE", "value": "token"}, {"name": "RAY_AUTH_TOKEN", "valueFrom": token}]


def _places(settings: TrainingJobConfig) -> list[tuple[str, str, bool, dict[str, Json]]]:
    """Name, place, whether it is read-only, and source of every volume but those that a pod makes for itself."""
    found: list[tuple[str, str, bool, dict[str, Json]]] = []
    for number, text in enumerate(settings.claims):
        claim, _, path = text.rpartition(":")
        found.append((f"claim-{number}", path, False, {"persistentVolumeClaim": {"claimName": claim}}))
    for number, (text, is_read_only) in enumerate(
        [*((text, True) for text in settings.folders), *((text, False) for text in settings.writable_folders)]
    ):
        folder, _, path = text.rpartition(":")
        found.append((f"folder-{number}", path, is_read_only, {"hostPath": {"path": folder, "type": "Directory"}}))
    return found


def _volumes(settings: TrainingJobConfig) -> list[Json]:
    shared: dict[str, Json] = {"medium": "Memory", "sizeLimit": settings.shared_memory}
    own: list[Json] = [{"name": "dshm", "emptyDir": shared}, {"name": "scratch", "emptyDir": {}}]
    return [*own, *({"name": name, **source} for name, _, _, source in _places(settings))]


def _mounts(settings: TrainingJobConfig) -> list[Json]:
    own: list[Json] = [{"name": "dshm", "mountPath": "/dev/shm"}, {"name": "scratch", "mountPath": _SCRATCH}]
    places: list[Json] = [
        {"name": name, "mountPath": path, "readOnly": is_read_only} for name, path, is_read_only, _ in _places(settings)
    ]
    return [*own, *places]
