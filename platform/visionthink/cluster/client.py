"""The API server, as far as the platform needs it: apply an object, read it, wait for it, remove it.

Rule: the Kubernetes and KServe libraries do the talking. Applying is server-side and repeatable: the server keeps what
is ours of an object, also what we no longer say, and leaves alone what others added. A state is believed only when the
controller has seen the object as it is now. Every exception of the libraries leaves here as a `ClusterError`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from visionthink.cluster.manifest import MANAGER, Manifest
from visionthink.errors import ClusterError

_CONFLICT: Final = 409
_RETRYABLE_STATUS: Final = frozenset({408, 409, 429})  # and every 5xx
_MERGE_PATCH: Final = "application/merge-patch+json"
_POLL_S: Final = 1.0


class StaleError(ClusterError):
    """The object is not, or no longer, as the change says that it is; read it again."""


class Cluster:
    """One API server, entered with one set of rights."""

    def __init__(
        self,
        api_client: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Talk through `api_client`, a `kubernetes.client.ApiClient`."""
        from kubernetes import dynamic

        self._clock = clock
        self._sleep = sleep
        with _translated("the API server cannot be read"):
            self._dynamic = dynamic.DynamicClient(api_client)

    @classmethod
    def connect(cls, kubeconfig: Path | None = None) -> "Cluster":
        """The cluster that `kubeconfig` names; None means the pod's own, or else the user's current one.

        Raises:
            ClusterError: there is none, or it does not answer.
        """
        from kubernetes import config
        from kubernetes.client import ApiClient, Configuration

        found = Configuration()
        try:
            if kubeconfig is not None:
                config.load_kube_config(str(kubeconfig), client_configuration=found)
            else:
                try:
                    config.load_incluster_config(client_configuration=found)
                except config.ConfigException:
                    config.load_kube_config(client_configuration=found)
        except config.ConfigException as error:
            raise ClusterError(f"no cluster is named: {error}; set KUBECONFIG", retryable=False) from error
        return cls(ApiClient(found))

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> dict[str, Any]:
        """The object as the server has it now; with `dry_run`, as it would have it.

        Raises:
            ClusterError: the server, or a webhook, refuses it.
        """
        with _translated(f"{_name(manifest)} cannot be applied"):
            done = self._resource(manifest).server_side_apply(
                body=manifest,
                namespace=_namespace(manifest),
                field_manager=MANAGER,
                force_conflicts=True,
                **({"dry_run": "All"} if dry_run else {}),
            )
            return dict(done.to_dict())

    def get(self, manifest: Manifest) -> dict[str, Any] | None:
        """The object of that kind and name as the server has it; None when there is none."""
        from kubernetes.client import ApiException

        with _translated(f"{_name(manifest)} cannot be read"):
            try:
                found = self._resource(manifest).get(name=_metadata(manifest)["name"], namespace=_namespace(manifest))
            except ApiException as error:
                if error.status == 404:
                    return None
                raise
            return dict(found.to_dict())

    def merge(self, manifest: Manifest, change: dict[str, Any]) -> dict[str, Any]:
        """The object after `change`, a merge patch: None removes a key, a list takes the other's place.

        Raises:
            StaleError: `change` names a resource version, and the object has another one by now.
            ClusterError: there is no such object, or the server refuses the change.
        """
        with _translated(f"{_name(manifest)} cannot be changed"):
            done = self._resource(manifest).patch(
                body=change,
                name=_metadata(manifest)["name"],
                namespace=_namespace(manifest),
                content_type=_MERGE_PATCH,
            )
            return dict(done.to_dict())

    def list(self, manifest: Manifest, *, labels: str) -> list[dict[str, Any]]:
        """The objects of that kind and namespace with these labels (`a=b,c=d`)."""
        with _translated(f"objects of kind {manifest['kind']} cannot be listed"):
            found = self._resource(manifest).get(namespace=_namespace(manifest), label_selector=labels)
            return [dict(item) for item in found.to_dict()["items"]]

    def delete(self, manifest: Manifest) -> None:
        """There is no such object any more, or it is on its way out."""
        from kubernetes.client import ApiException

        with _translated(f"{_name(manifest)} cannot be removed"):
            try:
                self._resource(manifest).delete(name=_metadata(manifest)["name"], namespace=_namespace(manifest))
            except ApiException as error:
                if error.status != 404:
                    raise

    def wait(
        self, manifest: Manifest, until: Callable[[dict[str, Any]], bool], *, what: str, timeout_s: float
    ) -> dict[str, Any]:
        """The object once `until` holds of it.

        Raises:
            ClusterError: it does not within `timeout_s`; tells `what` was waited for, and the last conditions.
        """
        end_s = self._clock() + timeout_s
        while True:
            found = self.get(manifest)
            if found is not None and until(found):
                return found
            if self._clock() > end_s:
                raise ClusterError(
                    f"{_name(manifest)} is not {what} within {timeout_s:g} s; {_conditions(found)}", retryable=True
                )
            self._sleep(_POLL_S)

    def _resource(self, manifest: Manifest) -> Any:
        return self._dynamic.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])


def is_ready(found: dict[str, Any]) -> bool:
    """Whether an InferenceService is ready, as it is now: its controller has seen this generation.

    KServe may still say Ready of what it was before a change.
    """
    status = found.get("status", {})
    if status.get("observedGeneration", -1) < found["metadata"]["generation"]:
        return False
    return any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions", ())
    )


def is_canary_ready(name: str) -> Callable[[dict[str, Any]], bool]:
    """Whether the canary `name` of an InferenceService runs."""

    def until(found: dict[str, Any]) -> bool:
        statuses = found.get("status", {}).get("canaryStatuses") or ()
        return any(status.get("name") == name and status.get("ready") for status in statuses)

    return until


def _metadata(manifest: Manifest) -> dict[str, Any]:
    found = manifest["metadata"]
    assert isinstance(found, dict), found
    return found


def _namespace(manifest: Manifest) -> str | None:
    return _metadata(manifest).get("namespace")


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {_metadata(manifest)['name']}"


def _conditions(found: dict[str, Any] | None) -> str:
    if found is None:
        return "there is no such object"
    told = [
        f"{condition['type']}={condition['status']} {condition.get('message', '')}".strip()
        for condition in found.get("status", {}).get("conditions", ())
    ]
    return "; ".join(told) or "it has no state yet: is its controller running?"


@contextmanager
def _translated(what: str) -> Iterator[None]:
    import urllib3
    from kubernetes.client import ApiException
    from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError

    try:
        yield
    except ResourceNotFoundError as error:
        raise ClusterError(f"{what}: {error}; install the operator that defines this kind", retryable=False) from error
    except (ApiException, DynamicApiError) as error:
        status = error.status or 0
        if status == _CONFLICT:
            raise StaleError(f"{what}: {_told(error)}", retryable=True) from error
        retryable = status in _RETRYABLE_STATUS or status >= 500 or status == 0
        raise ClusterError(f"{what}: {_told(error)}", retryable=retryable) from error
    except urllib3.exceptions.HTTPError as error:
        raise ClusterError(f"{what}: the API server does not answer: {error}", retryable=True) from error


def _told(error: Any) -> str:
    """What the server said, without its headers."""
    import json

    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body
    try:
        return str(json.loads(body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
