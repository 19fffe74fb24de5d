"""An API server in memory with what KServe 0.20, its pods and a gateway do: for tests of whatever rolls out.

It has the methods of `cluster.client.Cluster` that a rollout uses. Pods take time to become ready, a gateway takes time
to see a route, controllers write statuses in between, and every request that would have gone to nobody is noted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from visionthink.cluster import Manifest
from visionthink.cluster.client import StaleError
from visionthink.errors import ClusterError

CALL_S = 0.1
"""What a call takes."""


@dataclass
class Clock:
    """Time that passes when somebody sleeps or calls."""

    time_s: float = 1000.0

    def now_s(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.time_s += seconds


@dataclass
class Pods:
    """The pods of one predictor."""

    uri: str
    runtime: str
    annotations: dict[str, str]
    """Of the service: KServe copies them, so that a change of one makes new pods."""
    begun_s: list[float] = field(default_factory=list)

    def ready(self, now_s: float, start_s: float, broken: set[str]) -> int:
        return 0 if {self.uri, self.runtime} & broken else sum(now_s - begun >= start_s for begun in self.begun_s)


@dataclass
class MemoryKube:
    """The objects of one namespace, and what follows from them."""

    clock: Clock
    start_s: float = 12.0
    """Until a pod is ready."""
    lag_s: float = 2.0
    """Until the gateway acts by a route."""
    broken: set[str] = field(default_factory=set)
    """Models and runtimes whose pods never become ready."""
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, Pods] = field(default_factory=dict)
    """By Service."""
    lost: list[str] = field(default_factory=list)
    """What sent requests to nobody."""
    routed: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    """Weights by Service, from when on."""

    def get(self, manifest: Manifest) -> dict[str, Any] | None:
        self._tick()
        found = self.objects.get(_key(manifest))
        return None if found is None else _copy(found)

    def list(self, manifest: Manifest, *, labels: str) -> list[dict[str, Any]]:
        self._tick()
        value = labels.partition("=")[2]
        if manifest["kind"] == "EndpointSlice":
            return [self._slice(value)] if value in self.pods else []
        service = value.removeprefix("isvc.")
        return [_pod(service, self._num_ready(service))] if service in self.pods else []

    def apply(self, manifest: Manifest) -> dict[str, Any]:
        self._tick()
        return self._put(_key(manifest), _merged(self.objects.get(_key(manifest), {}), manifest))

    def merge(self, manifest: Manifest, change: dict[str, Any]) -> dict[str, Any]:
        self._tick()
        found = self.objects.get(_key(manifest))
        if found is None:
            raise ClusterError(f"there is no {_key(manifest)}", retryable=False)
        version = change.get("metadata", {}).get("resourceVersion")
        if version is not None and version != found["metadata"]["resourceVersion"]:
            raise StaleError("the object has been modified", retryable=True)
        return self._put(_key(manifest), _merged(found, change))

    def weights(self) -> dict[str, int]:
        """By Service, as the gateway acts now."""
        seen = [weights for since_s, weights in self.routed if since_s + self.lag_s <= self.clock.time_s]
        return seen[-1] if seen else {}

    def _put(self, key: tuple[str, str], after: dict[str, Any]) -> dict[str, Any]:
        before, about = self.objects.get(key), after["metadata"]
        old = before["metadata"] if before else {}
        is_changed = before is None or before.get("spec") != after.get("spec")
        about["uid"] = old.get("uid") or f"uid-{len(self.objects)}"
        about["generation"] = old.get("generation", 0) + is_changed
        about["resourceVersion"] = str(int(old.get("resourceVersion", 0)) + 1)
        self.objects[key] = _copy(after)
        if key[0] == "HTTPRoute":
            backends = after["spec"]["rules"][0]["backendRefs"]
            self.routed.append((self.clock.time_s, {one["name"]: one["weight"] for one in backends}))
            self._check("a new route")
        self._reconcile()
        return _copy(after)

    def _tick(self) -> None:
        self.clock.sleep(CALL_S)
        self._reconcile()
        self._check("time")

    def _reconcile(self) -> None:
        """What KServe makes of the InferenceServices."""
        for (kind, name), found in self.objects.items():
            if kind != "InferenceService":
                continue
            predictor, canaries = found["spec"]["predictor"], found["spec"].get("canary") or ()
            wanted = {}
            for one in canaries:
                wanted[_service(name, one["predictor"])] = (one["predictor"], one["predictor"]["minReplicas"])
            num_beside = sum(self._num_ready(service) for service in wanted)
            stable = _service(name, predictor)
            wanted[stable] = (predictor, max(1, predictor.get("minReplicas", 1) - num_beside))
            for service in [service for service in self.pods if service not in wanted]:
                del self.pods[service]
            for service, (part, count) in wanted.items():
                self._scale(service, part["model"], count, found["metadata"].get("annotations", {}))
            status = {"ready": {service: self._num_ready(service) for service in self.pods}}
            if found.get("status") != status:  # a controller's write moves the resource version on
                found["status"] = status
                found["metadata"]["resourceVersion"] = str(int(found["metadata"]["resourceVersion"]) + 1)
        self._check("what KServe did")

    def _scale(self, service: str, model: Mapping[str, Any], count: int, annotations: dict[str, str]) -> None:
        wanted = Pods(uri=model["storageUri"], runtime=model["runtime"], annotations=dict(annotations))
        pods = self.pods.setdefault(service, wanted)
        if (pods.uri, pods.runtime, pods.annotations) != (wanted.uri, wanted.runtime, wanted.annotations):
            pods = self.pods[service] = wanted
        now_s = self.clock.time_s
        pods.begun_s = [*pods.begun_s[:count], *[now_s] * (count - len(pods.begun_s))]

    def _num_ready(self, service: str) -> int:
        pods = self.pods.get(service)
        return 0 if pods is None else pods.ready(self.clock.time_s, self.start_s, self.broken)

    def _check(self, why: str) -> None:
        newest = self.routed[-1][1] if self.routed else {}
        for weights in (self.weights(), newest):
            nobody = [service for service, weight in weights.items() if weight and not self._num_ready(service)]
            if nobody:
                self.lost.append(f"{why}: {nobody} of {weights}")

    def _slice(self, service: str) -> dict[str, Any]:
        pods = self.pods[service]
        num_ready = self._num_ready(service)
        endpoints = [
            {"addresses": [f"10.0.0.{index + 1}"], "conditions": {"ready": index < num_ready}}
            for index in range(len(pods.begun_s))
        ]
        return {"ports": [{"port": 8080}], "endpoints": endpoints}


def _pod(service: str, num_ready: int) -> dict[str, Any]:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    state = {"running": {}} if num_ready else {"waiting": waiting}
    return {
        "metadata": {"name": service},
        "status": {"containerStatuses": [{"name": "kserve-container", "state": state}]},
    }


def _key(manifest: Mapping[str, Any]) -> tuple[str, str]:
    return str(manifest["kind"]), str(manifest["metadata"].get("name", ""))


def _service(name: str, predictor: Mapping[str, Any]) -> str:
    return "-".join(filter(None, (name, predictor.get("name"), "predictor")))


def _copy(value: Mapping[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(value))
    return copied


def _merged(target: Any, change: Any) -> Any:
    """RFC 7386."""
    if not isinstance(change, Mapping):
        return change
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
