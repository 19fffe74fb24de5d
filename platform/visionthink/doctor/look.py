"""Looks at a cluster through its API server.

Rule: nothing is made and nothing changed: specimens go to the server as dry runs. What the server does not let the user
see is an `Unseen`; a server that does not answer at all is told by its version alone.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from visionthink.cluster import Manifest, ModelVersion, inference_service
from visionthink.cluster.client import Cluster
from visionthink.cluster.training import TrainingJob, pytorch_job
from visionthink.config import RunConfig, override_config
from visionthink.doctor.need import Need
from visionthink.doctor.seen import Names, Right, SeenCluster, Unseen
from visionthink.errors import ClusterError

_TIMEOUT_S: Final = 15.0
_SPECIMEN: Final = "doctor"
_GPU: Final = "nvidia.com/gpu"
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_Seen = TypeVar("_Seen")


def look_at(config: RunConfig, need: Need, kubeconfig: Path | None) -> SeenCluster:
    """What the cluster shows that `kubeconfig` names; None means the pod's own, or else the user's current one."""
    try:
        api = _connected(kubeconfig)
    except ClusterError as error:
        return _nothing(str(error))
    from kubernetes import client

    version = _seen(lambda: str(client.VersionApi(api).get_code(_request_timeout=_TIMEOUT_S).git_version).lstrip("v"))
    if isinstance(version, Unseen):
        return _nothing(version.why)
    apis = _apis(api, need)
    is_self = _own_name(api) == f"system:serviceaccount:{need.namespace}:{need.account}"
    return SeenCluster(
        version=version,
        apis=apis,
        has_canary=_seen(lambda: _has_canary(api)),
        admitted=dict(_admitted(api, config, apis)),
        operators={operator.name: _seen(_counter(api, operator.deployment)) for operator in need.operators},
        default_class=_seen(lambda: _default_class(api)),
        claims={claim: _seen(_claim_reader(api, need.namespace, claim)) for claim in need.claims},
        gpus=_seen(lambda: _gpus(api)),
        refused=_seen(lambda: tuple(_refused(api, need, is_self=is_self))),
        account_exists=True if is_self else _seen(lambda: _has_account(api, need)),
    )


def _connected(kubeconfig: Path | None) -> Any:
    from kubernetes import config as access
    from kubernetes.client import ApiClient, Configuration

    found = Configuration()
    found.retries = False
    try:
        if kubeconfig is not None:
            access.load_kube_config(str(kubeconfig), client_configuration=found)
        else:
            access.load_config(client_configuration=found)
    except access.ConfigException as error:
        raise ClusterError(f"no cluster is named: {error}", retryable=False) from error
    return ApiClient(found)


def _nothing(why: str) -> SeenCluster:
    unseen = Unseen(why)
    return SeenCluster(
        version=unseen,
        apis=unseen,
        has_canary=unseen,
        admitted={},
        operators={},
        default_class=unseen,
        claims={},
        gpus=unseen,
        refused=unseen,
        account_exists=unseen,
    )


def _seen(look: Callable[[], _Seen]) -> _Seen | Unseen:
    """What `look` returns; why not, where the server does not tell."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return look()
    except ApiException as error:
        return Unseen(_told(error))
    except HTTPError as error:
        return Unseen(f"the API server does not answer: {error}")


def _told(error: Any) -> str:
    import json

    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


def _apis(api: Any, need: Need) -> Names:
    """The kinds of the groups that matter."""
    from kubernetes import client

    groups = {kind.api.split("/")[0] for kind in need.kinds}

    def look() -> frozenset[str]:
        listed = client.ApisApi(api).get_api_versions(_request_timeout=_TIMEOUT_S).groups
        versions = [version.group_version for group in listed if group.name in groups for version in group.versions]
        return frozenset(kind for version in versions for kind in _kinds(api, version))

    return _seen(look)


def _kinds(api: Any, version: str) -> Iterator[str]:
    for resource in _get(api, f"/apis/{version}")["resources"]:
        yield f"{version}/{resource['kind']}"


def _has_canary(api: Any) -> bool:
    schemas = _get(api, "/openapi/v3/apis/serving.kserve.io/v1beta1")["components"]["schemas"]
    (service,) = (schema for name, schema in schemas.items() if name.endswith(".InferenceService"))
    return "canary" in service["properties"]["spec"]["properties"]


def _get(api: Any, path: str) -> Any:
    """An answer of the server as JSON."""
    found, _, _ = api.call_api(
        path,
        "GET",
        header_params={"Accept": "application/json"},
        response_type="object",
        auth_settings=["BearerToken"],
        _request_timeout=_TIMEOUT_S,
    )
    return found


def _admitted(api: Any, config: RunConfig, apis: Names) -> Iterator[tuple[str, str]]:
    """What the server says to a specimen of each kind that its operator's webhooks look at."""
    if isinstance(apis, Unseen):
        return
    named = override_config(config, {"cluster.serving.name": _SPECIMEN}).cluster
    specimens: list[Manifest] = [
        pytorch_job(config, TrainingJob(run_id=_SPECIMEN, program=("true",))),
        inference_service(named, config.serve, ModelVersion(uri="s3://bucket/doctor")),
    ]
    for specimen in specimens:
        if f"{specimen['apiVersion']}/{specimen['kind']}" not in apis:
            continue
        try:
            Cluster(api).apply(specimen, dry_run=True)
        except ClusterError as error:
            yield str(specimen["kind"]), str(error)
        else:
            yield str(specimen["kind"]), ""


def _counter(api: Any, deployment: str) -> Callable[[], int]:
    from kubernetes import client

    def look() -> int:
        found = client.AppsV1Api(api).list_deployment_for_all_namespaces(
            field_selector=f"metadata.name={deployment}", _request_timeout=_TIMEOUT_S
        )
        return sum(one.status.ready_replicas or 0 for one in found.items)

    return look


def _default_class(api: Any) -> str | None:
    from kubernetes import client

    found = client.StorageV1Api(api).list_storage_class(_request_timeout=_TIMEOUT_S).items
    names = (one.metadata.name for one in found if (one.metadata.annotations or {}).get(_DEFAULT_CLASS) == "true")
    return next(names, None)


def _claim_reader(api: Any, namespace: str, claim: str) -> Callable[[], str | None]:
    from kubernetes import client

    def look() -> str | None:
        try:
            found = client.CoreV1Api(api).read_namespaced_persistent_volume_claim(
                claim, namespace, _request_timeout=_TIMEOUT_S
            )
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise
        return str(found.status.phase)

    return look


def _gpus(api: Any) -> tuple[int, ...]:
    from kubernetes import client

    nodes = client.CoreV1Api(api).list_node(_request_timeout=_TIMEOUT_S).items
    open_nodes = (node for node in nodes if not node.spec.unschedulable)
    return tuple(int((node.status.allocatable or {}).get(_GPU, 0)) for node in open_nodes)


def _has_account(api: Any, need: Need) -> bool:
    from kubernetes import client

    try:
        client.CoreV1Api(api).read_namespaced_service_account(need.account, need.namespace, _request_timeout=_TIMEOUT_S)
    except client.ApiException as error:
        if error.status == 404:
            return False
        raise
    return True


def _own_name(api: Any) -> str:
    """Who the server takes us for; empty where it does not say."""
    from kubernetes import client

    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    found = _seen(lambda: client.AuthenticationV1Api(api).create_self_subject_review(review))
    return "" if isinstance(found, Unseen) else str(found.status.user_info.username)


def _refused(api: Any, need: Need, *, is_self: bool) -> Iterator[Right]:
    """The rights that the steps' account lacks."""
    from kubernetes import client

    server = client.AuthorizationV1Api(api)
    for right in need.rights:
        resource, _, part = right.resource.partition("/")
        about = {
            "namespace": need.namespace,
            "group": right.group,
            "resource": resource,
            "subresource": part,
            "verb": right.verb,
        }
        if is_self:
            review = {"spec": {"resourceAttributes": about}}
            answer = server.create_self_subject_access_review(review, _request_timeout=_TIMEOUT_S)
        else:
            user = f"system:serviceaccount:{need.namespace}:{need.account}"
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{need.namespace}", "system:authenticated"]
            spec = {"user": user, "groups": groups, "resourceAttributes": about}
            answer = server.create_subject_access_review({"spec": spec}, _request_timeout=_TIMEOUT_S)
        if not answer.status.allowed:
            yield right
