"""What whoever starts a training adds to the pods that the settings describe. Pure.

Rule: an added field wins over the settings' own, by the name that Kubernetes knows it by: a variable by its name, a
mount by its place, a label by its key. Nothing that the settings say is lost otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from visionthink.core.json_value import Json

_MOUNT_PATH: Final = "mountPath"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFields:
    """Parts of a pod, as Kubernetes writes them."""

    env: tuple[Mapping[str, Json], ...] = ()
    volumes: tuple[Mapping[str, Json], ...] = ()
    mounts: tuple[Mapping[str, Json], ...] = ()
    tolerations: tuple[Mapping[str, Json], ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    affinity: Mapping[str, Json] = field(default_factory=dict)
    resources: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    """`requests` and `limits`."""

    @property
    def num_gpus(self) -> int | None:
        """The GPUs that are asked for; None where nothing is said of them."""
        found = self.resources.get("limits", {}).get("nvidia.com/gpu")
        return None if found is None else int(str(found))


def with_fields(spec: Mapping[str, Json], fields: PodFields) -> dict[str, Json]:
    """The spec of a pod with one container, and with these fields."""
    containers = cast("list[dict[str, Json]]", spec["containers"])
    mounts = _over(_maps(containers[0].get("volumeMounts")), fields.mounts, _MOUNT_PATH)
    used = {mount["name"] for mount in mounts}
    volumes = [one for one in _over(_maps(spec.get("volumes")), fields.volumes, "name") if one["name"] in used]
    container: dict[str, Json] = {
        **containers[0],
        "env": [*_over(_maps(containers[0].get("env")), fields.env, "name")],
        "resources": _resources(containers[0].get("resources"), fields.resources),
        "volumeMounts": [*mounts],
    }
    return {
        **spec,
        **_placed(spec, fields),
        "containers": [container, *containers[1:]],
        "volumes": [*volumes],
    }


def _placed(spec: Mapping[str, Json], fields: PodFields) -> dict[str, Json]:
    """On which nodes the pod may run."""
    found: dict[str, Json] = {}
    old = _maps(spec.get("tolerations"))
    if fields.tolerations:
        found["tolerations"] = [*old, *(dict(one) for one in fields.tolerations if dict(one) not in old)]
    if fields.node_selector:
        selector = spec.get("nodeSelector")
        found["nodeSelector"] = {**(selector if isinstance(selector, dict) else {}), **fields.node_selector}
    if fields.affinity:
        found["affinity"] = dict(fields.affinity)
    return found


def _resources(old: Json, new: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = dict(old) if isinstance(old, dict) else {}
    for kind, amounts in new.items():
        before = found.get(kind)
        found[kind] = {**(before if isinstance(before, dict) else {}), **amounts}
    return found


def _over(old: list[dict[str, Json]], new: tuple[Mapping[str, Json], ...], key: str) -> list[dict[str, Json]]:
    """Both, without those of the old ones that a new one takes the place of."""
    taken = {one[key] for one in new}
    return [*(one for one in old if one[key] not in taken), *(dict(one) for one in new)]


def _maps(value: Json) -> list[dict[str, Json]]:
    return cast("list[dict[str, Json]]", value) if isinstance(value, list) else []
