"""A light pod in the place of vLLM and the loop: the real loop over the real model in one process of one container.

It runs from this environment, which the nodes see by hostPath; models come from a volume, without an initializer.
"""

import sys
from pathlib import Path

from tests.cluster.conftest import ROOT

from visionthink.cluster import Manifest


def loop_runtime(name: str, image: str, *, namespace: str, model_name: str, site: Path, python: Path) -> Manifest:
    """The runtime; `site` holds this environment's packages, `python` its interpreter."""
    package = ROOT / "platform"
    folders = {"venv": site, "python": python, "package": package}
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "supportedModelFormats": [{"name": "adaptive-resolution", "version": "1", "autoSelect": True}],
            "protocolVersions": ["v2"],
            "containers": [
                {
                    "name": "kserve-container",
                    "image": image,
                    "workingDir": "/tmp",
                    "command": [
                        *("env", "PYTHONPATH=/opt/package:/opt/venv", "LD_LIBRARY_PATH=/opt/python/lib"),
                        *("HOME=/tmp", "OMP_NUM_THREADS=1", f"/opt/python/bin/{version}", "-m", "visionthink", "serve"),
                        *("--model", "/mnt/models", "--host", "0.0.0.0", "--port", "8080"),
                        *("--set", f"serve.model_name={model_name}"),
                    ],
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                    "readinessProbe": {
                        "httpGet": {"path": "/v2/health/ready", "port": 8080},
                        "periodSeconds": 2,
                        "timeoutSeconds": 10,
                        "failureThreshold": 10,
                    },
                    "lifecycle": {"preStop": {"sleep": {"seconds": 6}}},
                    "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
                    "volumeMounts": [{"name": name, "mountPath": f"/opt/{name}", "readOnly": True} for name in folders],
                }
            ],
            "volumes": [
                {"name": name, "hostPath": {"path": str(path), "type": "Directory"}} for name, path in folders.items()
            ],
        },
    }


def volume(models: Path, namespace: str) -> list[Manifest]:
    """A volume with the folder `models` of the nodes, and the claim `models` to it."""
    about = {"name": "models", "namespace": namespace}
    size = {"storage": "1Gi"}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteMany"],
                "hostPath": {"path": str(models)},
                "claimRef": {**about},
                "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain",
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {**about},
            "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": {"requests": size}},
        },
    ]
