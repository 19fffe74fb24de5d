"""PyTorchJobs on a cluster: submitted, followed and removed through the training operator's own SDK.

Rule: the SDK makes, reads and removes jobs; waiting is done here, because its own knows no `Suspended` and a queued job
would look as if nothing happened. A watch tells of changes at once, and a look every few seconds covers a watch that
broke. Every exception of the libraries leaves here as one of ours.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final

from visionthink.cluster.manifest import Manifest
from visionthink.cluster.training.backend import JobReport, JobState, TrainingJob, job_name
from visionthink.cluster.training.pod_fields import PodFields
from visionthink.cluster.training.pytorch_job import API_VERSION, CONTAINER, DIGEST_ANNOTATION, KIND, pytorch_job
from visionthink.config import RunConfig
from visionthink.errors import ClusterError, ConfigError, DataError

_POLL_S: Final = 5.0
_REQUEST_S: Final = 30.0
_GONE_S: Final = 180.0
_STATES: Final = {
    # The first that is true decides.
    "Failed": JobState.FAILED,
    "Succeeded": JobState.SUCCEEDED,
    "Suspended": JobState.SUSPENDED,
    "Restarting": JobState.RESTARTING,
    "Running": JobState.RUNNING,
    "Created": JobState.PENDING,
}


class PyTorchJobBackend:
    """Jobs as PyTorchJobs of one namespace."""

    def __init__(self, config: RunConfig, api_client: Any, *, fields: PodFields | None = None) -> None:
        """Build jobs from `config` with `fields`, and talk through `api_client`, a `kubernetes.client.ApiClient`."""
        from kubeflow.training import TrainingClient
        from kubernetes.client import CoreV1Api, CustomObjectsApi

        self._config, self._namespace, self._fields = config, config.cluster.namespace, fields
        self._jobs = TrainingClient(
            client_configuration=api_client.configuration, namespace=self._namespace, job_kind=KIND
        )
        self._core, self._objects = CoreV1Api(api_client), CustomObjectsApi(api_client)

    @classmethod
    def connect(
        cls, config: RunConfig, kubeconfig: Path | None = None, *, fields: PodFields | None = None
    ) -> "PyTorchJobBackend":
        """On the cluster that `kubeconfig` names; None means the pod's own, or else the user's current one.

        Raises:
            ClusterError: there is none.
        """
        from kubernetes import config as access
        from kubernetes.client import ApiClient, Configuration

        found = Configuration()
        try:
            if kubeconfig is not None:
                access.load_kube_config(str(kubeconfig), client_configuration=found)
            else:
                access.load_config(client_configuration=found)
        except access.ConfigException as error:
            raise ClusterError(f"no cluster is named: {error}; set KUBECONFIG", retryable=False) from error
        return cls(config, ApiClient(found), fields=fields)

    def submit(self, job: TrainingJob) -> str:
        """See `TrainingBackend`."""
        manifest = pytorch_job(self._config, job, self._fields)
        name = job_name(job.run_id)
        found = self._found(name)
        if found is not None:
            self._check_same(found, manifest, name)
            if _state(found) is not JobState.FAILED:
                return name
            self.cancel(name)
        with _translated(f"job {name} cannot be made"):
            self._jobs.create_job(job=_model(manifest), namespace=self._namespace)
        return name

    def describe(self, name: str) -> JobReport:
        """See `TrainingBackend`."""
        found = self._found(name)
        if found is None:
            raise DataError(f"there is no job {name} in the namespace {self._namespace}; submit it first")
        state = _state(found)
        return JobReport(
            name=name,
            state=state,
            reason=_reason(found, state),
            trouble=() if state.is_final or state is JobState.SUSPENDED else tuple(self._trouble(name)),
        )

    def wait(self, name: str, *, timeout_s: float, on_change: Callable[[JobReport], None]) -> JobReport:
        """See `TrainingBackend`. An API server that does not answer is asked again until then."""
        end_s = time.monotonic() + timeout_s
        last: JobReport | None = None
        error = ""
        while True:
            try:
                report = self.describe(name)
            except ClusterError as failed:
                if not failed.retryable:
                    raise
                error = str(failed)
            else:
                error = ""
                if report != last:
                    on_change(report)
                    last = report
                if report.state.is_final:
                    return report
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise ClusterError(f"{error or last} after {timeout_s:g} s; wait longer, or cancel it", retryable=True)
            self._await_change(name, min(_POLL_S, left_s))

    def logs(self, name: str) -> Iterator[str]:
        """See `TrainingBackend`. Lines are known by the times at which they were written."""
        last = ""
        while True:
            is_final = self.describe(name).state.is_final  # before reading, so that nothing is written after
            with contextlib.suppress(ClusterError):
                for stamped in self._follow(f"{name}-master-0", follow=not is_final):
                    stamp, _, line = stamped.partition(" ")
                    if stamp > last:
                        last = stamp
                        yield line
            if is_final:
                return
            self._await_change(name, 1.0)

    def cancel(self, name: str) -> None:
        """See `TrainingBackend`."""
        if self._found(name) is not None:
            with _translated(f"job {name} cannot be removed", is_gone_fine=True):
                self._jobs.delete_job(name, namespace=self._namespace)
        end_s = time.monotonic() + _GONE_S
        while self._found(name) is not None or self._pods(name):
            if time.monotonic() > end_s:
                raise ClusterError(f"job {name} is not gone after {_GONE_S:g} s; look at its pods", retryable=True)
            time.sleep(0.5)

    def _found(self, name: str) -> dict[str, Any] | None:
        """The job as the server has it. As plain JSON: the SDK's models drop what they do not know."""
        from kubernetes.client import ApiException

        with _translated(f"job {name} cannot be read"):
            try:
                found: dict[str, Any] = self._objects.get_namespaced_custom_object(
                    *API_VERSION.split("/"), self._namespace, "pytorchjobs", name, _request_timeout=_REQUEST_S
                )
            except ApiException as error:
                if error.status == 404:
                    return None
                raise
            return found

    def _check_same(self, found: dict[str, Any], manifest: Manifest, name: str) -> None:
        metadata: Any = manifest["metadata"]
        want = metadata["annotations"][DIGEST_ANNOTATION]
        if found["metadata"].get("annotations", {}).get(DIGEST_ANNOTATION) != want:
            raise ConfigError(
                f"job {name} in the namespace {self._namespace} was made with other settings; give it those, or "
                f"remove it first (kubectl -n {self._namespace} delete pytorchjob {name})"
            )

    def _pods(self, name: str) -> list[Any]:
        with _translated(f"the pods of job {name} cannot be listed"):
            selector = f"training.kubeflow.org/job-name={name}"
            listed = self._core.list_namespaced_pod(
                self._namespace, label_selector=selector, _request_timeout=_REQUEST_S
            )
            return list(listed.items)

    def _trouble(self, name: str) -> Iterator[str]:
        for pod in self._pods(name):
            for condition in pod.status.conditions or []:
                if condition.type == "PodScheduled" and condition.status == "False":
                    yield f"{pod.metadata.name}: {condition.reason}: {condition.message}"
            for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
                waiting = status.state.waiting
                if waiting is not None and waiting.reason not in ("ContainerCreating", "PodInitializing"):
                    yield f"{pod.metadata.name}: {waiting.reason}: {(waiting.message or '').strip()}"

    def _await_change(self, name: str, seconds: float) -> None:
        """Wait until the server tells of the job, but no longer than `seconds`; a broken watch waits as long."""
        from kubernetes import watch
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        end_s = time.monotonic() + seconds
        found = None
        try:
            found = self._found(name)
            if found is None:
                return
            events = watch.Watch().stream(
                self._objects.list_namespaced_custom_object,
                *API_VERSION.split("/"),
                self._namespace,
                "pytorchjobs",
                field_selector=f"metadata.name={name}",
                resource_version=found["metadata"]["resourceVersion"],
                timeout_seconds=max(1, round(seconds)),
                _request_timeout=seconds + 5,
            )
            for _ in events:
                return
        except (ApiException, HTTPError, ClusterError):
            time.sleep(max(0.0, min(1.0, end_s - time.monotonic())))

    def _follow(self, pod: str, *, follow: bool) -> Iterator[str]:
        """The lines of a pod, each behind its time, until its container ends or the connection does."""
        from urllib3.exceptions import HTTPError

        with _translated(f"the log of {pod} cannot be read", is_gone_fine=True):
            response = self._core.read_namespaced_pod_log(
                pod,
                self._namespace,
                container=CONTAINER,
                follow=follow,
                timestamps=True,
                _preload_content=False,
                _request_timeout=(_REQUEST_S, _REQUEST_S),  # a pod that is silent for longer is asked again
            )
            rest = b""
            try:
                for chunk in response.stream(amt=None, decode_content=False):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from (line.decode("utf-8", "replace") for line in lines)
            except HTTPError:
                return
            finally:
                response.release_conn()
            if rest:
                yield rest.decode("utf-8", "replace")


def _model(manifest: Manifest) -> Any:
    """The manifest as the SDK's own model, which is all that it takes."""
    from kubeflow.training import KubeflowOrgV1PyTorchJob
    from kubernetes.client import V1ObjectMeta

    metadata: Any = manifest["metadata"]
    return KubeflowOrgV1PyTorchJob(
        api_version=API_VERSION, kind=KIND, metadata=V1ObjectMeta(**metadata), spec=manifest["spec"]
    )


def _state(found: dict[str, Any]) -> JobState:
    conditions = found.get("status", {}).get("conditions") or []
    held = {condition["type"] for condition in conditions if condition["status"] == "True"}
    for name, state in _STATES.items():
        if name in held:
            return state
    return JobState.SUSPENDED if found["spec"].get("runPolicy", {}).get("suspend") else JobState.PENDING


def _reason(found: dict[str, Any], state: JobState) -> str:
    names = {value: key for key, value in _STATES.items()}
    for condition in found.get("status", {}).get("conditions") or []:
        if condition["type"] == names[state] and condition["status"] == "True":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    return ""


@contextlib.contextmanager
def _translated(what: str, *, is_gone_fine: bool = False) -> Generator[None]:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (ApiException, HTTPError, RuntimeError, TimeoutError) as error:
        # The SDK raises bare RuntimeErrors, with the server's own words behind them.
        root = error if isinstance(error, ApiException) else error.__cause__ or error.__context__
        status = root.status if isinstance(root, ApiException) else None
        if is_gone_fine and status == 404:
            return
        reason = f"{status} {root.body or root.reason}" if isinstance(root, ApiException) else str(root or error)
        refused = status is not None and 400 <= status < 500 and status not in (408, 409, 429)
        raise ClusterError(f"{what}: {reason}", retryable=not refused) from error
