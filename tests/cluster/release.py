"""An installed trial: the chart's release from images built here, its volumes, and steps in the control image.

The cluster has no registry, no provisioner and no GPU. Images are on the nodes, volumes are folders of the machine, and
vLLM and veRL run from environments that lie there too.
"""

import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.cluster.conftest import HOST, NAME, ROOT, Kube, until, weed_program
from tests.cluster.helm import CHART, Helm
from tests.cluster.images import Images

from visionthink.cluster import Manifest
from visionthink.cluster.manifest import container_security, pod_security
from visionthink.config import RunConfig

RELEASE: Final = "vt"
SPACE: Final = "visionthink-story"
BUCKET: Final = "visionthink"
SETTINGS: Final = "/etc/visionthink/platform.toml"
TRACKER: Final = f"http://{RELEASE}-visionthink-mlflow.{SPACE}:5000"
_PROGRAMS: Final = Path(__file__).parent / "programs"
_CLAIMS: Final = {
    f"{RELEASE}-visionthink-mlflow": "2Gi",
    f"{RELEASE}-visionthink-runs": "10Gi",
    f"data-{RELEASE}-visionthink-s3-0": "10Gi",
}
_STEP_S: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The release, and what its tests do with it."""

    kube: Kube
    helm: Helm
    control: str
    """The image of the steps."""
    folder: Path
    """The volume of the runs, as this machine sees it."""
    values: Mapping[str, object]
    install_s: float

    def upgrade(self, values: Mapping[str, object], *flags: str) -> float:
        """The seconds that an upgrade to `values` took, over those of before."""
        start_s = time.monotonic()
        self.helm("upgrade", RELEASE, CHART, *_TRIAL, _WAIT, *flags, values={**self.values, **values})
        return time.monotonic() - start_s

    def get(self, *arguments: str) -> dict[str, Any]:
        """What the API server says, as JSON."""
        told: dict[str, Any] = json.loads(self.kube.kubectl("-n", SPACE, "get", *arguments, "-o", "json"))
        return told

    def step(self, program: str, *arguments: str) -> Any:
        """What a program of the folder `programs` printed, run as a step of a pipeline."""
        code = (_PROGRAMS / f"{program}.py").read_text(encoding="utf-8")
        pod = self.begin(program, ["python", "-c", code, *arguments])
        return self.end(pod, want="Succeeded")

    def begin(self, name: str, command: list[str]) -> str:
        """The pod of a step that was begun: the control image, the pipeline's account, the runs and the settings.

        What it says goes to the volume: kubelets that share a machine clear away each other's logs.
        """
        pod = f"{name}-{uuid.uuid4().hex[:6]}"
        said = f"/runs/{pod}"
        self.kube.api.apply(
            _step_pod(pod, self.control, ["sh", "-c", f'"$@" >{said}.out 2>{said}.err', name, *command])
        )
        return pod

    def end(self, pod: str, *, want: str) -> Any:
        """The JSON that a step printed last, once it has ended as wanted."""
        seen: list[str] = []

        def has_ended() -> bool:
            seen.append(str(self.get("pod", pod)["status"].get("phase")))
            return seen[-1] in ("Succeeded", "Failed")

        until(has_ended, what=f"the end of {pod}", timeout_s=_STEP_S)
        out, err = ((self.folder / f"{pod}.{name}").read_text() for name in ("out", "err"))
        assert seen[-1] == want, (out + err)[-3000:]
        self.kube.kubectl("-n", SPACE, "delete", "pod", pod, "--wait=false")
        return printed(out)


def printed(out: str) -> Any:
    """The JSON at the end of `out`; Kubeflow's SDK prints hints of its own before it."""
    lines = out.splitlines()
    for first in range(len(lines)):
        with suppress(ValueError):
            return json.loads("\n".join(lines[first:]))
    raise AssertionError(f"a step printed no JSON: {out[-2000:]}")


_TRIAL: Final = ("--namespace", SPACE, f"--values={CHART / 'values-trial.yaml'}", "--timeout=9m")
_WAIT: Final = "--wait=legacy"
"""Helm 4 itself waits for an `observedGeneration` that KServe takes from its Deployment: for ever after a rollout."""


@contextmanager
def installed(kube: Kube, helm: Helm, images: Images, config: RunConfig) -> Iterator[Release]:
    """The release; nothing of it is left when the block ends."""
    values = _values(images, images.store(weed_program()), config)
    control = images("control")
    with tempfile.TemporaryDirectory(prefix="vt-story-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for claim, size in _CLAIMS.items():
            (folder / claim).mkdir()
            (folder / claim).chmod(0o777)
            kube.api.apply(volume(SPACE, claim, folder / claim, size))
        folder.chmod(0o755)
        start_s = time.monotonic()
        try:
            helm("install", RELEASE, CHART, "--create-namespace", *_TRIAL, "--wait", values=values)
            yield Release(
                kube=kube,
                helm=helm,
                control=control,
                folder=folder / f"{RELEASE}-visionthink-runs",
                values=values,
                install_s=time.monotonic() - start_s,
            )
        finally:
            kube.kubectl("delete", "namespace", SPACE, "--timeout=150s", "--ignore-not-found", timeout_s=180)
            kube.kubectl("delete", "persistentvolume", *_CLAIMS, "--timeout=60s", "--ignore-not-found")


def _image(text: str) -> dict[str, str]:
    repository, _, tag = text.rpartition(":")
    return {"registry": "", "repository": repository, "tag": tag}


def _values(images: Images, store: str, config: RunConfig) -> dict[str, object]:
    serving = config.cluster.serving
    mlflow = _image(images("mlflow"))
    return {
        "mlflow.image": mlflow,
        "tests.image": mlflow,
        "s3.embedded.image": _image(store),
        "s3.embedded.command": ["/weed"],
        # Two cores are shared with whatever else this machine does.
        "mlflow.startSeconds": 400,
        "tests.timeoutSeconds": 300,
        "serving.name": NAME,
        "serving.hostname": HOST,
        "serving.drainSeconds": serving.drain_s,
        "serving.engine.image": _image(serving.engine_image),
        "serving.engine.command": serving.engine_command,
        "serving.engine.args": serving.engine_args,
        "serving.engine.env": serving.engine_env,
        "serving.engine.mounts": serving.engine_mounts,
        "serving.engine.cpu": serving.engine.cpu,
        "serving.engine.memory": serving.engine.memory,
        "serving.engine.sharedMemory": serving.shared_memory,
        "serving.loop.image": _image(serving.loop_image),
        "serving.loop.settings": {"timeout_s": 30},
        "training.image": _image(serving.engine_image),
        "training.cpu": "100m",
        "training.memory": "7Gi",
        "training.sharedMemory": "1Gi",
    }


TRAIN_PROGRAM: Final = ("/opt/python/bin/python3", "/opt/source/tests/cluster/programs/train.py")
"""The command of the first node; the run's own words follow."""


def begin_training(release: Release, verl_python: Path, run_id: str, *more: str) -> str:
    """The pod of a step that makes the job of a training by veRL on two nodes, and waits for its end.

    The run lies in the folder `run_id` of the runs' volume; `more` goes to the program.
    """
    folder = release.folder / run_id
    folder.mkdir()
    folder.chmod(0o777)
    arguments = (f"/runs/{run_id}", run_id, TRACKER, f"s3://{BUCKET}/checkpoints", *more)
    program = ("sh", "-c", f'exec "$@" >>/runs/{run_id}/train.log 2>&1', "train", *TRAIN_PROGRAM)
    code = (_PROGRAMS / "launch.py").read_text(encoding="utf-8")
    launch = ["python", "-c", code, SETTINGS, json.dumps(training_settings(verl_python)), run_id]
    return release.begin("launch", [*launch, *program, *arguments])


def training_nodes(release: Release, run_id: str) -> dict[str, str]:
    """The nodes of a training's pods, by their names, once each pod has one."""
    nodes: dict[str, str] = {}

    def have_places() -> bool:
        found = release.get("pods", "-l", f"training.kubeflow.org/job-name=train-{run_id}")["items"]
        nodes.update({one["metadata"]["name"]: one["spec"].get("nodeName", "") for one in found})
        return len(nodes) == 2 and all(nodes.values())

    until(have_places, what="two pods on nodes", timeout_s=120)
    return nodes


def training_settings(verl_python: Path) -> dict[str, object]:
    """What the job is told beyond the installation's settings: veRL from an environment of the node's."""
    home = Path(os.path.realpath(verl_python)).parents[1]
    version = next((home / "bin").glob("python3.[0-9]*[0-9]")).name
    packages = f"/opt/venv/lib/{version}/site-packages"
    env = [f"PYTHONPATH=/opt/source/platform:{packages}", "LD_LIBRARY_PATH=/opt/python/lib", "USER=nobody"]
    env += ["PYTHONDONTWRITEBYTECODE=1", "AWS_DEFAULT_REGION=us-east-1", "RAY_memory_monitor_refresh_ms=0"]
    return {
        "verl": {"num_nodes": 2, "gpus_per_node": 1, "cpus_per_node": 6, "num_storage_units": 1},
        "cluster.training.command": [TRAIN_PROGRAM[0], "-m", "visionthink"],
        "cluster.training.folders": [
            *(f"{home}:/opt/python", f"{verl_python.parents[1]}:/opt/venv", f"{ROOT}:/opt/source"),
        ],
        "cluster.training.env": [*env, f"AWS_ENDPOINT_URL_S3=http://{RELEASE}-visionthink-s3.{SPACE}:8333"],
        "cluster.training.grace_s": 20,
    }


def volume(space: str, claim: str, folder: Path, size: str) -> Manifest:
    """What a provisioner would make for a claim of the namespace `space`: a folder of this machine."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": claim},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "hostPath": {"path": str(folder)},
            "claimRef": {"name": claim, "namespace": space},
            "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }


def _step_pod(name: str, image: str, command: list[str]) -> Manifest:
    secret = f"{RELEASE}-visionthink-s3"
    env = {
        "AWS_ENDPOINT_URL_S3": f"http://{secret}.{SPACE}:8333",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    mounts = {"runs": "/runs", "settings": "/etc/visionthink", "scratch": "/tmp"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": f"{RELEASE}-visionthink-pipeline",
            "securityContext": pod_security(),
            "containers": [
                {
                    "name": "step",
                    "image": image,
                    "command": [*command],
                    "env": [{"name": key, "value": value} for key, value in env.items()],
                    "envFrom": [{"secretRef": {"name": secret}}],
                    "securityContext": container_security(),
                    "volumeMounts": [{"name": key, "mountPath": path} for key, path in mounts.items()],
                }
            ],
            "volumes": [
                {"name": "runs", "persistentVolumeClaim": {"claimName": f"{RELEASE}-visionthink-runs"}},
                {"name": "settings", "configMap": {"name": f"{RELEASE}-visionthink-settings"}},
                {"name": "scratch", "emptyDir": {}},
            ],
        },
    }
