"""The cluster of a rollout: an InferenceService in Standard mode, and the route before its predictors' Services.

Rule: only what a rollout is about is written (the canary, the predictor's name and model, the route's backends), by
merge patches of raw objects: KServe's own models drop a None, and with it the word that a canary is to go. A patch
names the resource version that it was decided on, so that of two processes one is refused. What is to be remembered
stands in a ConfigMap: KServe copies a service's annotations into its pods, and each word written there restarts them.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from visionthink.cluster import Canary, Manifest, ModelVersion, Share, weighted_route
from visionthink.cluster.client import Cluster, StaleError
from visionthink.cluster.manifest import metadata
from visionthink.cluster.serving import canary_spec
from visionthink.config import ClusterConfig
from visionthink.core.json_value import Json
from visionthink.core.rollout_step import ALL, Change, DropCanary, MakeStable, PutCanary, Seen, SetShares
from visionthink.errors import ClusterError
from visionthink.rollout.port import Look
from visionthink.rollout.record import RolloutRecord, ServedVersion, read_record

_RECORD: Final = "record"
"""The key of the ConfigMap that a rollout is written down under."""
SHARED_SINCE: Final = "visionthink.io/shared-since"
"""The annotation with the Unix time of the last change of the shares: of the route, or of the ConfigMap without one."""
_MAX_TROUBLE: Final = 300
_API_VERSION: Final = "serving.kserve.io/v1beta1"
_KIND: Final = "InferenceService"
"""Characters of what pods complain about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KServeCluster:
    """One InferenceService."""

    api: Cluster
    config: ClusterConfig
    settle_s: float
    """How long gateways may act by a route after it was changed."""
    now_s: Callable[[], float]
    """Unix time."""

    def look(self) -> Look:
        """What runs now, and what is written down.

        Raises:
            ClusterError: there is no such InferenceService, it is none that this can drive, or the server fails.
        """
        service = self._service()
        stable = _stable(service)
        canary = _canary(service)
        route = self._route() if self._has_route else None
        names = {stable.name, *(() if canary is None else (canary["name"],))}
        shares = self._shares(service, route, names)
        ledger = self.api.get(self._ledger)
        since_s = float(_annotations(route if self._has_route else ledger).get(SHARED_SINCE, "0"))
        seen = Seen(
            stable=stable.name,
            num_replicas=service["spec"]["predictor"].get("minReplicas", 1),
            canary=None if canary is None else canary["name"],
            num_canary_replicas=0 if canary is None else canary.get("minReplicas", 0),
            shares=shares,
            num_ready={name: len(self.addresses(name)) for name in names | set(shares)},
            is_route_settled=self.now_s() - since_s >= self.settle_s and _is_seen(route),
        )
        return Look(
            seen=seen,
            stable=stable,
            record=_record(ledger),
            shared_since_s=since_s,
            generation=service["metadata"]["generation"],
            trouble="" if canary is None else self._trouble(canary["name"]),
        )

    def keep(self, record: RolloutRecord, *, over: Look) -> bool:
        """Write `record` down; False when the service is no longer as that look showed it."""
        while True:
            ledger = self.api.get(self._ledger)
            if ledger is None:
                self.api.apply(self._new_ledger())
                continue
            if _record(ledger) != over.record or self._service()["metadata"]["generation"] != over.generation:
                return False
            about = {"resourceVersion": ledger["metadata"]["resourceVersion"]}
            try:
                self.api.merge(self._ledger, {"metadata": about, "data": {_RECORD: record.to_text()}})
            except StaleError:
                continue  # somebody else wrote
            return True

    def change(self, change: Change, version: ServedVersion, *, over: Look) -> None:
        """Make one change, or none of the service when it is no longer as that look showed it."""
        match change:
            case PutCanary(num_replicas=num_replicas):
                percent = 0 if self._has_route else over.seen.shares.get(version.name, 0)
                self._patched({"canary": self._canary(version, percent, num_replicas)}, over)
            case DropCanary():
                self._patched({"canary": None}, over)
            case MakeStable():
                self._patched({"predictor": self._renamed(version, over), "canary": None}, over)
            case SetShares(shares=shares) if self._has_route:
                self._set_route(shares)
            case SetShares(shares=shares):
                self._set_traffic(shares, over)
            case _:
                assert_never(change)

    def addresses(self, name: str) -> tuple[str, ...]:
        """Where the ready pods of a version listen, as http://HOST:PORT."""
        slices: Manifest = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"namespace": self.config.namespace},
        }
        found = self.api.list(slices, labels=f"kubernetes.io/service-name={self._service_of(name)}")
        return tuple(sorted({address for one in found for address in _ready(one)}))

    @property
    def _has_route(self) -> bool:
        return self.config.serving.weights == "route"

    def _service_of(self, name: str) -> str:
        return ModelVersion(uri="", name=name or None).service(self.config.serving.name)

    def _manifest(self, api_version: str, kind: str, name: str) -> Manifest:
        about: dict[str, Json] = {"name": name, "namespace": self.config.namespace}
        return {"apiVersion": api_version, "kind": kind, "metadata": about}

    @property
    def _ledger(self) -> Manifest:
        about = metadata(self.config.serving.name + "-rollout", self.config.namespace)
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about}

    def _new_ledger(self) -> Manifest:
        """It goes with the service that it tells of."""
        about = self._service()["metadata"]
        owner: Json = {"apiVersion": _API_VERSION, "kind": _KIND, "name": about["name"], "uid": about["uid"]}
        ledger = self._ledger
        own = ledger["metadata"]
        assert isinstance(own, dict)
        return {**ledger, "metadata": {**own, "ownerReferences": [owner]}}

    def _service(self) -> dict[str, Any]:
        name, namespace = self.config.serving.name, self.config.namespace
        found = self.api.get(self._manifest(_API_VERSION, _KIND, name))
        if found is None:
            raise ClusterError(
                f"there is no InferenceService {name} in {namespace}; serve a first version with `visionthink cluster "
                "render serving`, or name yours: cluster.serving.name, cluster.namespace",
                retryable=False,
            )
        if "model" not in found["spec"]["predictor"]:
            raise ClusterError(
                f"InferenceService {name} has no predictor.model, and KServe runs no canary beside a container of "
                "one's own; serve it with a ServingRuntime",
                retryable=False,
            )
        return found

    def _route(self) -> dict[str, Any] | None:
        return self.api.get(self._route_manifest())

    def _route_manifest(self) -> Manifest:
        return self._manifest("gateway.networking.k8s.io/v1", "HTTPRoute", self.config.serving.name + "-versions")

    def _shares(self, service: Mapping[str, Any], route: Mapping[str, Any] | None, names: set[str]) -> dict[str, int]:
        if not self._has_route:
            stable, canaries = service["spec"]["predictor"].get("name", ""), service["spec"].get("canary") or ()
            percents = {one["predictor"]["name"]: one.get("trafficPercent", 0) for one in canaries}
            return {stable: ALL - sum(percents.values())} | {name: share for name, share in percents.items() if share}
        by_service = {self._service_of(name): name for name in names}
        backends = route["spec"]["rules"][0].get("backendRefs", ()) if route else ()
        total = sum(backend.get("weight", 1) for backend in backends) or 1
        return {
            by_service.get(backend["name"], self._name_of(backend["name"])): round(
                ALL * backend.get("weight", 1) / total
            )
            for backend in backends
        }

    def _name_of(self, service: str) -> str:
        """The version whose predictor has this Service."""
        found = re.fullmatch(rf"{re.escape(self.config.serving.name)}-(?:(.+)-)?predictor", service)
        return (found[1] or "") if found else service

    def _canary(self, version: ServedVersion, percent: int, num_replicas: int) -> list[Json]:
        serving = self.config.serving.model_copy(update={"runtime": version.runtime})
        model = ModelVersion(uri=version.uri, name=version.name)
        return canary_spec(serving, Canary(version=model, percent=percent, num_replicas=num_replicas))

    def _renamed(self, version: ServedVersion, over: Look) -> dict[str, Json]:
        """What changes of the predictor; what scales it counts the requests of pods by their name."""
        scaling = self._service()["spec"]["predictor"].get("autoScaling")
        old, new = self._service_of(over.stable.name), self._service_of(version.name)
        scaled: dict[str, Json] = (
            {} if scaling is None else {"autoScaling": json.loads(json.dumps(scaling).replace(old, new))}
        )
        return {"name": version.name, "model": {"storageUri": version.uri, "runtime": version.runtime}, **scaled}

    def _patched(self, spec: dict[str, Any], over: Look) -> bool:
        """Change what the service wants, unless that or the record is no longer as that look showed it."""
        while True:
            about = self._service()["metadata"]
            if about["generation"] != over.generation or _record(self.api.get(self._ledger)) != over.record:
                return False
            name = self._manifest(_API_VERSION, _KIND, about["name"])
            try:
                self.api.merge(name, {"metadata": {"resourceVersion": about["resourceVersion"]}, "spec": spec})
            except StaleError:
                continue  # its controller wrote a status meanwhile, or somebody wants something else of it
            return True

    def _set_route(self, shares: Mapping[str, int]) -> None:
        wanted = tuple(Share(service=self._service_of(name), weight=percent) for name, percent in shares.items())
        manifest = weighted_route(self.config, wanted)
        rules: Any = manifest["spec"]["rules"]  # type: ignore[index,call-overload]
        found = self._route()
        if found is None:
            self.api.apply(manifest)
        else:
            # Names, matches and timeouts are the route's own: settings may have changed since it was made.
            rules = [{**rule, "backendRefs": rules[0]["backendRefs"]} for rule in found["spec"]["rules"]]
        annotations = {SHARED_SINCE: repr(self.now_s())}
        self.api.merge(manifest, {"metadata": {"annotations": annotations}, "spec": {"rules": rules}})

    def _set_traffic(self, shares: Mapping[str, int], over: Look) -> None:
        """Have KServe share the requests out."""
        canary = over.seen.canary
        if canary is None:
            return
        entry = dict(self._service()["spec"]["canary"][0])
        if self._patched({"canary": [{**entry, "trafficPercent": shares.get(canary, 0)}]}, over):
            self.api.merge(self._ledger, {"metadata": {"annotations": {SHARED_SINCE: repr(self.now_s())}}})

    def _trouble(self, name: str) -> str:
        pods: Manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": self.config.namespace}}
        found = self.api.list(pods, labels=f"app=isvc.{self._service_of(name)}")
        return "; ".join(dict.fromkeys(told for pod in found for told in _complaints(pod)))[:_MAX_TROUBLE]


def _annotations(found: Mapping[str, Any] | None) -> dict[str, str]:
    return dict(found["metadata"].get("annotations") or {}) if found else {}


def _record(ledger: Mapping[str, Any] | None) -> RolloutRecord | None:
    text = (ledger or {}).get("data", {}).get(_RECORD)
    return None if text is None else read_record(text)


def _stable(service: Mapping[str, Any]) -> ServedVersion:
    predictor = service["spec"]["predictor"]
    model = predictor["model"]
    return ServedVersion(
        name=predictor.get("name", ""), uri=model.get("storageUri", ""), runtime=model.get("runtime", "")
    )


def _canary(service: Mapping[str, Any]) -> dict[str, Any] | None:
    found = service["spec"].get("canary") or ()
    if len(found) > 1:
        names = [one["predictor"]["name"] for one in found]
        raise ClusterError(
            f"InferenceService {service['metadata']['name']} has the canaries {names}, and a rollout knows one; remove "
            "the others",
            retryable=False,
        )
    return dict(found[0]["predictor"]) if found else None


def _is_seen(route: Mapping[str, Any] | None) -> bool:
    """Whether every gateway that tells says that it has read the route as it is now."""
    if route is None:
        return True
    conditions = [
        condition
        for parent in route.get("status", {}).get("parents", ())
        for condition in parent.get("conditions", ())
        if condition["type"] == "Accepted"
    ]
    return all(one.get("observedGeneration", 0) >= route["metadata"]["generation"] for one in conditions)


def _ready(endpoint_slice: Mapping[str, Any]) -> Iterator[str]:
    ports = endpoint_slice.get("ports") or ()
    port = ports[0]["port"] if ports else 80
    for endpoint in endpoint_slice.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready"):
            host = endpoint["addresses"][0]
            yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _complaints(pod: Mapping[str, Any]) -> Iterator[str]:
    """Why a pod does not run, in the words of its node."""
    status = pod.get("status", {})
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"{condition.get('reason', '')}: {condition.get('message', '')}"
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (one.get("state") or {}).get("waiting") or {}
        ended = (one.get("state") or {}).get("terminated") or (one.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            yield f"{one['name']}: {waiting['reason']}: {waiting.get('message', '')}".strip(": ")
        if ended and ended.get("exitCode"):
            yield f"{one['name']}: ended with {ended['exitCode']} {ended.get('message') or ''}".strip()
