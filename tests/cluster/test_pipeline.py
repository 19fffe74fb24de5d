"""The pipeline's steps that work on the cluster itself, each as Kubeflow runs it, against a real training operator.

The job's pods run a shell script in the place of a training: it leaves in the run's folder what a training leaves. What
the steps do, they do with the rights of the pipeline's service account, by a kubeconfig with its token.
"""

import json
import os
import signal
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.cluster.conftest import Kube, until
from tests.fakes.kubeflow_pod import Done, Pods

import visionthink
from visionthink.cluster import Manifest
from visionthink.cluster.training import job_name
from visionthink.config import RunConfig, override_config
from visionthink.doctor.need import RIGHTS
from visionthink.runs import StageResult
from visionthink.storage import open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NAMESPACE: Final = "visionthink-pipe-e2e"
ACCOUNT: Final = "visionthink-pipeline"
WAIT_S: Final = 300.0
KEY: Final = f"{visionthink.__version__}-0"
_SCRIPT: Final = """
while [ $# -gt 0 ] && [ "$1" != -- ]; do last=$1; shift; done
if [ $# -gt 0 ]; then shift; [ "$RANK" = 0 ] || exec sleep 1000; exec "$@"; fi
env > "$last/env"; echo try >> "$last/tries"; echo step 1
until [ -e "$last/go" ]; do sleep 0.2; done
cp -r /made/. "$last/"; echo step 2
"""
"""As a node it runs the program behind `--` on the first one; as the program it leaves a trained model."""
TASK: Final[dict[str, Any]] = {
    "resources": {"limits": {"nvidia.com/gpu": "1"}},
    "env": [
        {"name": "GIVEN_TO_TASK", "value": "yes"},
        {"name": "KFP_RUN_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['pipeline/runid']"}}},
    ],
    "tolerations": [{"key": "given", "operator": "Exists"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A namespace with the steps' account, and a folder that pods and steps share."""

    kube: Kube
    folder: Path
    kubeconfig: Path

    def job(self, run_id: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(
            self.kube.kubectl("-n", NAMESPACE, "get", "pytorchjob", job_name(run_id), "-o", "json")
        )
        return told

    def jobs(self) -> list[str]:
        return self.kube.kubectl("-n", NAMESPACE, "get", "pytorchjobs", "-o", "name").split()


@pytest.fixture(scope="module")
def place(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    kube.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for manifest in _account():
        kube.api.apply(manifest)
    token = kube.kubectl("-n", NAMESPACE, "create", "token", ACCOUNT, "--duration=2h").strip()
    config = yaml.safe_load(kube.kubeconfig.read_text())
    (cluster,) = config["clusters"]
    kubeconfig = tmp_path_factory.mktemp("kube") / "config"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [cluster],
                "users": [{"name": "steps", "user": {"token": token}}],
                "contexts": [{"name": "steps", "context": {"cluster": cluster["name"], "user": "steps"}}],
                "current-context": "steps",
            }
        )
    )
    with tempfile.TemporaryDirectory(prefix="vt-runs-", dir="/var/tmp") as home:
        folder = Path(home)
        (folder / "runs").mkdir()
        for path in (folder, folder / "runs"):
            path.chmod(0o777)
        _leave_model(folder / "made")
        yield Place(kube=kube, folder=folder, kubeconfig=kubeconfig)
        kube.kubectl("delete", "namespace", NAMESPACE, "--timeout=180s", timeout_s=200)


def _account() -> list[Manifest]:
    """The account with exactly the rights that the doctor asks for."""
    about: dict[str, Any] = {"name": ACCOUNT, "namespace": NAMESPACE}
    rules: list[Any] = [{"apiGroups": [one.group], "resources": [one.resource], "verbs": [one.verb]} for one in RIGHTS]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": about, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": about,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
        },
    ]


def _leave_model(folder: Path) -> None:
    """What a training leaves in the run's folder."""
    model = folder / "train" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    result = StageResult(metrics={"reward/mean": 1.0}, artifacts={"model": model})
    (folder / "train" / "result.json").write_text(json.dumps(result.to_dict(folder)))


@pytest.fixture
def pods(place: Place, tmp_path: Path) -> Pods:
    run_id = str(uuid.uuid4())
    store, settings = tmp_path / "store", tmp_path / "settings"
    settings.mkdir()
    (settings / "platform.toml").write_text(f'[cluster]\nnamespace = "{NAMESPACE}"\n')
    open_store(str(store / "labels")).write("label/result.json", json.dumps(StageResult().to_dict(tmp_path)).encode())
    return Pods(home=tmp_path, store=str(store), run_id=run_id, env={"KUBECONFIG": str(place.kubeconfig)})


def parameters(place: Place, **training: Any) -> dict[str, Any]:
    """What `prepare` would hand to `train`, with what Kubeflow's driver adds of the task."""
    config = override_config(
        RunConfig(),
        {
            "train.backend": "verl",
            "cluster.namespace": NAMESPACE,
            "verl": {"num_nodes": 2, "gpus_per_node": 1, "cpus_per_node": 1},
            "cluster.training": {
                "image": os.environ.get("VISIONTHINK_BASE_IMAGE", "localhost/base:bookworm"),
                "command": ["sh", "-c", _SCRIPT, "node"],
                "service_account": "default",
                "cpu": "50m",
                "memory": "64Mi",
                "shared_memory": "16Mi",
                "ray_secret": None,
                "grace_s": 5,
                "folders": [f"{place.folder}/made:/made"],
                # The step sees the same folder under the same name: it runs on this machine, not in a pod.
                "writable_folders": [f"{place.folder}/runs:{place.folder}/runs"],
                **training,
            },
        },
    )
    return {"config": config.model_dump_json(), "key": KEY, "task_config": TASK}


def started(pods: Pods, place: Place, given: dict[str, Any]) -> tuple[threading.Thread, list[Done]]:
    """The step, running beside the test, once its job's first pod is at work."""
    done: list[Done] = []
    runs = place.folder / "runs"
    (runs / pods.run_id).mkdir(exist_ok=True)
    (runs / pods.run_id).chmod(0o777)
    thread = threading.Thread(target=lambda: done.append(pods.run("train", given, runs=runs)))
    thread.start()
    until(lambda: (runs / pods.run_id / "tries").exists() or bool(done), what="the training", timeout_s=WAIT_S)
    assert not done, done[0].log[-3000:]
    return thread, done


def test_killed_launcher_is_tried_again_and_adopts_the_job(pods: Pods, place: Place) -> None:
    given = parameters(place)
    folder = place.folder / "runs" / pods.run_id
    thread, done = started(pods, place, given)
    first = place.job(pods.run_id)
    for pid in pods.pids():
        os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert done[0].code != 0
    thread, done = started(pods, place, given)
    # A training that ended before the step looks would be adopted by nobody: its result is in the folder.
    until(lambda: "going on with job" in pods.log() or bool(done), what="the adoption", timeout_s=WAIT_S)
    (folder / "go").touch()
    thread.join(WAIT_S)
    assert done[0].code == 0, done[0].log[-3000:]
    assert "going on with job" in done[0].log and "step 2" in done[0].log
    assert place.job(pods.run_id)["metadata"]["uid"] == first["metadata"]["uid"]
    assert (folder / "tries").read_text() == "try\n"
    assert "GIVEN_TO_TASK=yes" in (folder / "env").read_text()
    assert done[0].metadata["metrics"] == {"reward/mean": 1.0}
    assert set(open_store(f"{pods.store}/model").list()) == {"train/model/config.json", "train/result.json"}
    spec = first["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]
    assert {"key": "given", "operator": "Exists"} in spec["tolerations"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    ended = pods.run("finish", _ending("SUCCEEDED"))
    assert ended.code == 0, ended.log[-3000:]
    assert place.jobs() == []


def test_step_that_is_told_to_end_takes_its_job_along(pods: Pods, place: Place) -> None:
    thread, done = started(pods, place, parameters(place))
    for pid in pods.pids():
        os.kill(pid, signal.SIGTERM)
    thread.join(WAIT_S)
    assert done[0].code != 0 and "is removed" in done[0].log
    until(lambda: place.jobs() == [], what="no job", timeout_s=60)


def test_last_step_ends_a_job_that_still_runs(pods: Pods, place: Place) -> None:
    thread, done = started(pods, place, parameters(place))
    ended = pods.run("finish", _ending("FAILED"))
    assert ended.code == 0, ended.log[-3000:]
    assert ("removed: job" in ended.log and "no rollout" in ended.log) or "InferenceService" in ended.log
    assert place.jobs() == []
    page = open_store(f"{pods.store}/report").read("report").decode()
    assert f"run {pods.run_id}: FAILED" in page and "it broke" in page
    thread.join(WAIT_S)
    assert done[0].code != 0


def test_task_with_other_gpus_than_the_settings_is_refused(pods: Pods, place: Place) -> None:
    given = parameters(place) | {"task_config": {"resources": {"limits": {"nvidia.com/gpu": "8"}}}}
    done = pods.run("train", given, runs=place.folder / "runs")
    assert done.code == 2 and "the task asks for 8 GPUs a node and verl.gpus_per_node is 1" in done.log
    assert place.jobs() == []


def _ending(state: str) -> dict[str, Any]:
    status = {"state": state, "error": {"code": 1, "message": "it broke"}}
    return {"preset": "", "overrides": "", "status": status}
