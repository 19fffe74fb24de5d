"""The ServingRuntime: vLLM and, in front of it, the loop, as two containers of one pod.

Rule: both live and die together, so that every turn of an episode meets the same version of the model and the same
prefix cache. KServe knows the container names: `kserve-container` gets the model, `transformer-container` the traffic.
A pod that ends takes requests until the gateways have noticed, then finishes those it holds; only then vLLM ends.
"""

import json
from typing import Final

from visionthink.cluster.manifest import Manifest, container_security, environment, metadata, resources
from visionthink.config import ClusterConfig, ServeConfig, ServingConfig
from visionthink.core.json_value import Json

MODEL_FORMAT: Final = "adaptive-resolution"
"""What a model must be called in an InferenceService to get this runtime."""
MODEL_FOLDER: Final = "/mnt/models"
ENGINE_PORT: Final = 8085
LOOP_PORT: Final = 8080
_SCRATCH: Final = "/tmp"
_TURNS: Final = 4
"""That an episode may have before its engine refuses it, at least; the models have two."""
_READY_S: Final = 5
"""Seconds between two looks at whether a container is ready: how long a dead engine may go on getting requests."""


def serving_runtime(cluster: ClusterConfig, serve: ServeConfig) -> Manifest:
    """The runtime; `serve` is how the loop behaves."""
    serving = cluster.serving
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": metadata(serving.runtime, cluster.namespace),
        "spec": {
            "annotations": {
                "prometheus.kserve.io/port": str(LOOP_PORT),
                "prometheus.kserve.io/path": "/metrics",
            },
            "supportedModelFormats": [{"name": MODEL_FORMAT, "version": "1", "autoSelect": True}],
            "protocolVersions": ["v2"],
            "containers": [_engine(serving, serve), _loop(serving, serve)],
            "volumes": _volumes(serving),
        },
    }


def _engine(serving: ServingConfig, serve: ServeConfig) -> dict[str, Json]:
    health: dict[str, Json] = {"httpGet": {"path": "/health", "port": ENGINE_PORT}}
    folders: list[Json] = [
        {"name": _folder_name(number), "mountPath": mount.split(":")[-1], "readOnly": True}
        for number, mount in enumerate(serving.engine_mounts)
    ]
    return {
        "name": "kserve-container",
        "image": serving.engine_image,
        "command": [*serving.engine_command, MODEL_FOLDER],
        "args": [
            f"--port={ENGINE_PORT}",
            "--served-model-name={{.Name}}",
            f'--limit-mm-per-prompt={{"image":{_max_views(serve)}}}',
            *serving.engine_args,  # of two arguments vLLM takes the last one
        ],
        "env": [*environment(("HOME=/tmp", "VLLM_NO_USAGE_STATS=1")), *environment(serving.engine_env)],
        "ports": [{"name": "vllm", "containerPort": ENGINE_PORT, "protocol": "TCP"}],
        "startupProbe": {**health, "periodSeconds": _READY_S, "failureThreshold": -(-serving.start_s // _READY_S)},
        "readinessProbe": {**health, "periodSeconds": _READY_S, "failureThreshold": 1, "timeoutSeconds": 3},
        # A server that is only busy answers late; one that is gone refuses, or does not answer for a minute.
        "livenessProbe": {**health, "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 10},
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", _AFTER_THE_LOOP]}}},
        "resources": resources(serving.engine),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "dshm", "mountPath": "/dev/shm"},
            {"name": "engine-scratch", "mountPath": _SCRATCH},
            *folders,
        ],
    }


def _max_views(serve: ServeConfig) -> int:
    """Views that a prompt may hold: of each picture one a turn."""
    return serve.max_pictures * max(_TURNS, serve.max_turns or 0)


_AFTER_THE_LOOP: Final = (
    f"while grep -Eq ' [0-9A-F]+:{LOOP_PORT:04X} [0-9A-F]+:[0-9A-F]+ (01|0A) ' /proc/net/tcp /proc/net/tcp6; "
    "do sleep 1; done"
)
"""Waits until nobody listens (0A) at the loop's port and no connection to it is open (01). The containers of a pod
share one network, and Kubernetes would end both at the same time."""


def _loop(serving: ServingConfig, serve: ServeConfig) -> dict[str, Json]:
    ready: dict[str, Json] = {"httpGet": {"path": "/v2/health/ready", "port": LOOP_PORT}}
    live: dict[str, Json] = {"httpGet": {"path": "/v2/health/live", "port": LOOP_PORT}}
    return {
        "name": "transformer-container",
        "image": serving.loop_image,
        "args": [
            "--model_name={{.Name}}",
            f"--http_port={LOOP_PORT}",
            f"--predictor_host=localhost:{ENGINE_PORT}",
            f"--model_dir={MODEL_FOLDER}",
            f"--drain_s={serving.drain_s}",
            *loop_settings(serve),
        ],
        "ports": [{"name": "http1", "containerPort": LOOP_PORT, "protocol": "TCP"}],
        "startupProbe": {**live, "periodSeconds": 2, "failureThreshold": -(-serving.start_s // 2), "timeoutSeconds": 5},
        # Ready is who has an engine that lists the model: a pod without one gets no requests.
        "readinessProbe": {**ready, "periodSeconds": _READY_S, "failureThreshold": 1, "timeoutSeconds": 6},
        # The engine's death is not the loop's: it would lose what it holds, and the engine would be no sooner back.
        "livenessProbe": {**live, "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 10},
        "lifecycle": {"preStop": {"sleep": {"seconds": serving.leave_s}}},
        "resources": resources(serving.loop),
        "securityContext": container_security(),
        "volumeMounts": [{"name": "loop-scratch", "mountPath": _SCRATCH}],
    }


def loop_settings(serve: ServeConfig) -> list[Json]:
    """Flags for the settings that are not the defaults, in TOML, which writes such values as JSON does.

    Address, name and engine are the pod's own business.
    """
    own = {"model_name", "engine", "host", "port"}
    given = serve.model_dump(mode="json", exclude_defaults=True, exclude=own)
    return [f"--set=serve.{name}={json.dumps(value)}" for name, value in given.items()]


def _volumes(serving: ServingConfig) -> list[Json]:
    shared: dict[str, Json] = {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": serving.shared_memory}}
    scratch: list[Json] = [{"name": f"{name}-scratch", "emptyDir": {}} for name in ("engine", "loop")]
    folders: list[Json] = [
        {"name": _folder_name(number), "hostPath": {"path": mount.split(":")[0], "type": "Directory"}}
        for number, mount in enumerate(serving.engine_mounts)
    ]
    return [shared, *scratch, *folders]


def _folder_name(number: int) -> str:
    return f"node-folder-{number}"
