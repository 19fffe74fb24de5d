"""Where the trainings of these tests run: a namespace, and a folder that every pod and this process see as one."""

import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.cluster.conftest import Kube

from visionthink.cluster import Manifest
from visionthink.cluster.training.pytorch_job_client import PyTorchJobBackend
from visionthink.config import RunConfig, override_config

WAIT_S: Final = 300.0
_JOB_LABEL: Final = "training.kubeflow.org/job-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A namespace, and a folder of the same path everywhere."""

    kube: Kube
    namespace: str
    folder: Path

    def backend(self, settings: Mapping[str, Any], *, namespace: str | None = None) -> PyTorchJobBackend:
        """For jobs of two pods with `settings`, which run the base image and need little."""
        config = override_config(
            RunConfig(),
            {
                "cluster.namespace": namespace or self.namespace,
                "verl": {"num_nodes": 2, "gpus_per_node": 1, "num_storage_units": 1},
                "cluster.training": {
                    "image": os.environ.get("VISIONTHINK_BASE_IMAGE", "localhost/base:bookworm"),
                    "service_account": "default",
                    "cpu": "50m",
                    "ray_secret": None,
                    "writable_folders": [f"{self.folder}:{self.folder}"],
                },
                **settings,
            },
        )
        return PyTorchJobBackend.connect(config, self.kube.kubeconfig)

    def kubectl(self, *arguments: str) -> str:
        return self.kube.kubectl("-n", self.namespace, *arguments)

    def pods(self, name: str) -> dict[str, str]:
        """The nodes of a job's pods, by their names."""
        told = json.loads(self.kubectl("get", "pods", "-l", f"{_JOB_LABEL}={name}", "-o", "json"))
        return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in told["items"]}

    def words(self, name: str) -> str:
        """How a job's pods are and what they say, for whoever has to find out why."""
        selector = f"{_JOB_LABEL}={name}"
        told = [self.kubectl("get", "pods", "-l", selector, "-o", "wide")]
        for pod in self.pods(name):
            with contextlib.suppress(AssertionError):
                told.append(f"{pod}:\n{self.kubectl('logs', pod, '-c', 'pytorch', '--tail=60')}")
        return "\n".join(told)

    def delete_pod(self, name: str) -> None:
        self.kubectl("delete", "pod", name, "--wait=true")

    def suspend(self, name: str, yes: bool) -> None:
        patch = json.dumps({"spec": {"runPolicy": {"suspend": yes}}})
        self.kubectl("patch", "pytorchjob", name, "--type=merge", "-p", patch)

    def secret(self, name: str, values: Mapping[str, str]) -> None:
        made: Manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace},
            "stringData": dict(values),
        }
        self.kube.api.apply(made)


@contextlib.contextmanager
def training_place(kube: Kube) -> Iterator[Place]:
    """A place that is there until the block ends."""
    namespace = f"visionthink-train-{uuid.uuid4().hex[:6]}"
    space: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    with tempfile.TemporaryDirectory(prefix="vt-shared-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o777)
        kube.api.apply(space)
        try:
            yield Place(kube=kube, namespace=namespace, folder=Path(folder))
        finally:
            kube.kubectl("delete", "namespace", namespace, "--timeout=180s", timeout_s=200)
