"""Asks the servers that the settings name: the object store, MLflow, Kubeflow Pipelines.

Rule: each is asked for what a step asks it for, through the name that a step knows. What is written is removed again.
"""

import socket
import uuid
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from visionthink.config import RunConfig
from visionthink.doctor.seen import Probe, SeenServers
from visionthink.errors import VisionThinkError
from visionthink.network import without_secrets

KUBEFLOW: Final = "http://ml-pipeline.kubeflow:8888"
_TIMEOUT_S: Final = 10.0


def probe_all(config: RunConfig, env: Mapping[str, str], kubeflow: str | None) -> SeenServers:
    """What the servers of these settings answer."""
    store = config.register_model.store
    tracker = config.tracking.uri or env.get("MLFLOW_TRACKING_URI") or ""
    return SeenServers(
        store=probe_store(store) if store is not None and store.startswith("s3://") else None,
        tracker=probe_tracker(tracker, env) if tracker.startswith("http") else None,
        pipelines=probe_pipelines(kubeflow or env.get("KF_PIPELINES_ENDPOINT") or KUBEFLOW),
    )


def probe_store(uri: str) -> Probe:
    """Write an object, read it, and remove it."""
    from botocore.exceptions import BotoCoreError, ClientError

    from visionthink.storage.s3 import S3Store, connect

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    key, want = f"doctor/{uuid.uuid4().hex}", uuid.uuid4().bytes
    try:
        client = connect(connect_timeout_s=_TIMEOUT_S, read_timeout_s=_TIMEOUT_S, max_attempts=1)
        store = S3Store(client=client, bucket=bucket, prefix=prefix.strip("/"))
        store.write(key, want)
        got = store.read(key)
        client.delete_object(Bucket=bucket, Key="/".join(filter(None, (store.prefix, key))))
    except (VisionThinkError, BotoCoreError, ClientError) as error:
        return Probe(place=uri, problem=without_secrets(str(error)))
    return Probe(place=uri, problem="" if got == want else "what was written is not what is read")


def probe_tracker(uri: str, env: Mapping[str, str]) -> Probe:
    """Ask MLflow for an experiment, as the name in `uri`: one that it does not allow is refused."""
    user, password = env.get("MLFLOW_TRACKING_USERNAME"), env.get("MLFLOW_TRACKING_PASSWORD")
    address = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search"
    return _asked(uri, address, body={"max_results": 1}, user=(user, password) if user and password else None)


def probe_pipelines(uri: str) -> Probe:
    """Ask Kubeflow Pipelines whether it is well."""
    return _asked(uri, f"{uri.rstrip('/')}/apis/v2beta1/healthz")


def _asked(
    place: str, address: str, *, body: Mapping[str, object] | None = None, user: tuple[str, str] | None = None
) -> Probe:
    import httpx

    shown = without_secrets(place)
    host = urlsplit(place).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return Probe(place=shown, problem=f"no machine is called {host} here", is_out_of_reach=True)
    try:
        reply = (
            httpx.get(address, timeout=_TIMEOUT_S, auth=user)
            if body is None
            else httpx.post(address, json=dict(body), timeout=_TIMEOUT_S, auth=user)
        )
    except httpx.HTTPError as error:
        return Probe(place=shown, problem=f"nothing answers: {error}")
    if reply.is_success:
        return Probe(place=shown, status=reply.status_code)
    told = " ".join(reply.text.split())[:200]
    return Probe(place=shown, problem=f"{reply.status_code} {told}", status=reply.status_code)
