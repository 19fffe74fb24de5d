"""Kubeflow Pipelines' own server: pipelines are uploaded there, and runs are started and followed.

Rule: Kubeflow's client does the talking. What is there already is adopted: a pipeline by its name, a version by the
digest in its name, so the same upload twice is one. Every exception of the library leaves here as a `ClusterError`.
"""

import contextlib
import hashlib
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import visionthink
from visionthink.errors import ClusterError, ConfigError

_FINAL: Final = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"})
_SUCCEEDED: Final = "SUCCEEDED"
_RETRYABLE: Final = frozenset({408, 409, 429})  # and every 5xx


class Uploaded(NamedTuple):
    """A version of a pipeline on the server."""

    pipeline_id: str
    version_id: str
    is_new: bool


class KubeflowPipelines:
    """One server, entered as one user."""

    def __init__(self, client: Any, *, namespace: str | None = None) -> None:
        """Talk through `client`, a `kfp.Client`; `namespace` is the user's where the server has several."""
        self._client, self._namespace = client, namespace

    @classmethod
    def connect(cls, host: str, *, namespace: str | None = None, token: str | None = None) -> "KubeflowPipelines":
        """The server at `host`, an address with http:// or https://.

        Raises:
            ConfigError: the address is none.
            ClusterError: nothing answers there.
        """
        if not host.startswith(("http://", "https://")):
            raise ConfigError(
                f"{host!r} is no address; write http://ml-pipeline.kubeflow:8888, or where it is forwarded"
            )
        from kfp import Client

        with _translated(f"Kubeflow Pipelines at {host}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the client warns of servers that are too old for it, whatever is there
            return cls(Client(host=host, existing_token=token), namespace=namespace)

    def upload(self, name: str, text: str) -> Uploaded:
        """The compiled pipeline `text` on the server, as a version of the pipeline `name`.

        Raises:
            ClusterError: the server fails, or refuses it.
        """
        version = version_name(text)
        with _translated(f"pipeline {name} cannot be uploaded"), _file(text) as path:
            pipeline_id = self._client.get_pipeline_id(name)
            if pipeline_id is None:
                pipeline_id = self._client.upload_pipeline(path, name, namespace=self._namespace).pipeline_id
                self._client.upload_pipeline_version(path, version, pipeline_id=pipeline_id)
                return Uploaded(pipeline_id, self._version(pipeline_id, version) or "", is_new=True)
            found = self._version(pipeline_id, version)
            if found is not None:
                return Uploaded(pipeline_id, found, is_new=False)
            made = self._client.upload_pipeline_version(path, version, pipeline_id=pipeline_id)
            return Uploaded(pipeline_id, made.pipeline_version_id, is_new=True)

    def run(self, uploaded: Uploaded, arguments: Mapping[str, str], *, name: str, experiment: str, account: str) -> str:
        """The id of a new run of an uploaded version, whose steps act as the service account `account`.

        Raises:
            ClusterError: the server fails, or refuses it.
        """
        with _translated(f"run {name} cannot be started"):
            place = self._client.create_experiment(experiment, namespace=self._namespace).experiment_id
            made = self._client.run_pipeline(
                place,
                name,
                params=dict(arguments),
                pipeline_id=uploaded.pipeline_id,
                version_id=uploaded.version_id,
                service_account=account,
            )
            return str(made.run_id)

    def wait(
        self,
        run_id: str,
        *,
        timeout_s: float,
        say: Callable[[str], None],
        poll_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Return when the run has succeeded; each state on the way is told.

        Raises:
            ClusterError: it ended otherwise, or not in time.
        """
        end_s, last = clock() + timeout_s, ""
        while True:
            with _translated(f"run {run_id} cannot be read"):
                state = str(self._client.get_run(run_id).state)
            if state != last:
                say(f"run {run_id}: {state.lower()}")
                last = state
            if state == _SUCCEEDED:
                return
            if state in _FINAL:
                raise ClusterError(f"run {run_id} ended as {state}; its page says why", retryable=False)
            if clock() > end_s:
                raise ClusterError(f"run {run_id} is {state} after {timeout_s:g} s; wait longer", retryable=True)
            sleep(poll_s)

    def _version(self, pipeline_id: str, name: str) -> str | None:
        wanted = {"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]}
        found = self._client.list_pipeline_versions(pipeline_id, filter=json.dumps(wanted)).pipeline_versions
        return next((str(one.pipeline_version_id) for one in found or () if one.display_name == name), None)


def version_name(text: str) -> str:
    """What a compiled pipeline is called among the versions: equal texts have equal names."""
    return f"{visionthink.__version__}-{hashlib.blake2b(text.encode(), digest_size=5).hexdigest()}"


def check_arguments(text: str, arguments: Mapping[str, str]) -> None:
    """Refuse arguments that a compiled pipeline does not know, and a run without one that it needs.

    Raises:
        ConfigError: naming them, and those that there are.
    """
    import yaml

    fields: dict[str, Any] = next(yaml.safe_load_all(text))["root"].get("inputDefinitions", {}).get("parameters", {})
    if unknown := sorted(set(arguments) - set(fields)):
        raise ConfigError(f"the pipeline has no field {', '.join(unknown)}; its fields are {', '.join(fields)}")
    needed = [name for name, field in fields.items() if not field.get("isOptional") and "defaultValue" not in field]
    if missing := [name for name in needed if not arguments.get(name)]:
        raise ConfigError(f"the pipeline needs {', '.join(missing)}; write --param {missing[0]}=VALUE")


@contextlib.contextmanager
def _file(text: str) -> Generator[str]:
    with tempfile.TemporaryDirectory(prefix="visionthink-") as home:
        path = Path(home) / "pipeline.yaml"
        path.write_text(text, encoding="utf-8")
        yield str(path)


@contextlib.contextmanager
def _translated(what: str) -> Generator[None]:
    import kfp_server_api
    from urllib3.exceptions import HTTPError

    try:
        with contextlib.redirect_stdout(sys.stderr):  # the client prints links
            yield
    except kfp_server_api.ApiException as error:
        status = error.status or 0
        told = " ".join(str(error.body or error.reason).split())[:500]
        retryable = status in _RETRYABLE or status >= 500 or status == 0
        raise ClusterError(f"{what}: {status} {told}", retryable=retryable) from error
    except (HTTPError, TimeoutError, OSError) as error:
        raise ClusterError(f"{what}: nothing answers there: {error}", retryable=True) from error
