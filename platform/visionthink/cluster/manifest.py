"""What every Kubernetes object of the platform has in common.

Rule: an object says who manages it, and its pods run as nobody: no privileges, no capability, a read-only root. That is
the pod security level `restricted`, which a namespace may then demand.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from visionthink.config import ResourcesConfig
from visionthink.core.json_value import Json

Manifest: TypeAlias = dict[str, Json]
"""A Kubernetes object, as JSON has it."""

MANAGER: Final = "visionthink"
USER_ID: Final = 65532
"""Nobody's: it owns nothing in any image."""


def metadata(name: str, namespace: str, *, annotations: dict[str, str] | None = None) -> dict[str, Json]:
    """The metadata of an object of ours."""
    labels: dict[str, Json] = {"app.kubernetes.io/managed-by": MANAGER, "app.kubernetes.io/part-of": MANAGER}
    found: dict[str, Json] = {"name": name, "namespace": namespace, "labels": labels}
    if annotations:
        found["annotations"] = dict(annotations)
    return found


def pod_security() -> dict[str, Json]:
    """The security context of a pod. The group lets every container read what another one fetched."""
    ids: dict[str, Json] = {"runAsUser": USER_ID, "runAsGroup": USER_ID, "fsGroup": USER_ID}
    return {"runAsNonRoot": True, **ids, "seccompProfile": {"type": "RuntimeDefault"}}


def container_security() -> dict[str, Json]:
    """The security context of a container."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def resources(config: ResourcesConfig) -> dict[str, Json]:
    """What a container asks for and may take. A GPU is asked for and limited alike, as Kubernetes wants it."""
    gpus: dict[str, Json] = {"nvidia.com/gpu": config.gpus} if config.gpus else {}
    return {
        "requests": {"cpu": config.cpu, "memory": config.memory, **gpus},
        "limits": {"memory": config.memory, **gpus},
    }


def environment(variables: Sequence[str]) -> list[Json]:
    """Container variables from `NAME=VALUE`."""
    pairs = [variable.partition("=") for variable in variables]
    return [{"name": name, "value": value} for name, _, value in pairs]


def to_yaml(manifests: Sequence[Manifest]) -> str:
    """The objects as one YAML stream, keys in the order in which they are written here."""
    import yaml

    class Plain(yaml.SafeDumper):
        """Writes a value that occurs twice twice: anchors are for machines."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    return str(yaml.dump_all(manifests, Dumper=Plain, sort_keys=False, width=120, explicit_start=True))
