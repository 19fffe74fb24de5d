"""docs/install.md on a real cluster: every command of the page, typed as it stands there, in its order.

A trial and then a production, both in the namespace that the page names, from images of the chart's default names. What
a reader brings is brought: a Postgres, an S3, the Secrets, a file of its own, and Kubeflow's API at another
address than the page's, as a stand-in.
"""

import configparser
import io
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml
from tests.cluster.conftest import KEYS, NODE_ADDRESS, ROOT, Bucket, Kube, free_ports, shell, until, weed_program
from tests.cluster.helm import CHART, left_behind
from tests.cluster.images import Images
from tests.cluster.release import volume
from tests.fakes.kubeflow_server import KubeflowServer, kubeflow_server

from visionthink.cluster import Manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SPACE: Final = "visionthink"
PAGE_HOST: Final = "http://ml-pipeline.kubeflow:8888"
"""Where the page has Kubeflow's API: a name of the cluster's own."""
COMMANDS: Final = [
    line
    for block in re.findall(r"(?ms)^```console\n(.*?)^```", (ROOT / "docs" / "install.md").read_text())
    for line in block.splitlines()
    if line.strip()
]
_CLAIMS: Final = {"visionthink-mlflow": "2Gi", "visionthink-runs": "500Gi", "data-visionthink-s3-0": "10Gi"}
_TYPED_S: Final = 900.0
ADMIN: Final = ("admin", "a-password-of-twelve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where a reader sits: a folder with the chart in it, and a shell."""

    kube: Kube
    folder: Path
    kubeflow: KubeflowServer
    typed: list[str] = field(default_factory=list)

    def type(self, beginning: str) -> str:
        """What the page's next command says, which begins so; it must succeed."""
        done = self.tried(beginning)
        assert done.returncode == 0, f"{self.typed[-1]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def tried(self, beginning: str) -> "subprocess.CompletedProcess[str]":
        """The same, however it ends."""
        command = COMMANDS[len(self.typed)]
        assert command.startswith(beginning), f"the page goes on with {command!r}, not {beginning!r}"
        self.typed.append(command)
        tools = f"{sysconfig.get_path('scripts')}:{self.kube.kubeconfig.parent / 'bin'}"
        return subprocess.run(
            ["bash", "-euc", command.replace(PAGE_HOST, self.kubeflow.host)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_TYPED_S,
            check=False,
            env={
                "PATH": f"{tools}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                "KUBECONFIG": str(self.kube.kubeconfig),
                **KEYS,
            },
        )

    def get(self, *arguments: str) -> Any:
        return yaml.safe_load(self.kube.kubectl("-n", SPACE, "get", *arguments, "-o", "yaml"))


@pytest.fixture(scope="module")
def desk(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if not kube.kubectl("get", "nodes", "-o", "name").split():
        pytest.skip("this cluster has no nodes, so no pod would run")
    if SPACE in kube.kubectl("get", "namespaces", "-o", "name"):
        pytest.skip(f"a namespace {SPACE} is in use on this cluster, and the page's commands would change it")
    folder = tmp_path_factory.mktemp("desk")
    (folder / "charts").symlink_to(ROOT / "charts")
    with kubeflow_server() as kubeflow:
        yield Desk(kube=kube, folder=folder, kubeflow=kubeflow)


@contextmanager
def volumes(kube: Kube) -> Iterator[None]:
    """A cluster's provisioner, by hand; the namespace goes with what it made."""
    with tempfile.TemporaryDirectory(prefix="vt-page-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        for claim, size in _CLAIMS.items():
            (Path(name) / claim).mkdir()
            (Path(name) / claim).chmod(0o777)
            kube.api.apply(volume(SPACE, claim, Path(name) / claim, size))
        try:
            yield
        finally:
            kube.kubectl("delete", "namespace", SPACE, "--timeout=150s", "--ignore-not-found", timeout_s=180)
            kube.kubectl("delete", "persistentvolume", *_CLAIMS, "--timeout=60s", "--ignore-not-found")


@pytest.fixture(scope="module")
def default_images(images: Images) -> None:
    """MLflow's and the store's image under the names that the chart's values give them."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    for made, image in ((images("mlflow"), values["mlflow"]["image"]), (images.store(weed_program()), None)):
        told = image or values["s3"]["embedded"]["image"]
        images.load_as(made, f"docker.io/{told['repository']}:{told['tag'] or version}")


@pytest.fixture
def trial(desk: Desk, default_images: None) -> Iterator[Desk]:
    with volumes(desk.kube):
        desk.type("helm install")
        yield desk
        desk.kube.kubectl("-n", SPACE, "wait", "--for=delete", "pod", "--all", "--timeout=90s")


def test_trial_is_installed_tested_and_removed(trial: Desk) -> None:
    pods = trial.get("pods")["items"]
    assert {container["name"] for pod in pods for container in pod["spec"]["containers"]} == {"mlflow", "s3"}
    assert trial.type("helm test").count("Succeeded") == 2
    helm = trial.kube.kubeconfig.parent / "bin" / "helm"
    env = {**os.environ, "KUBECONFIG": str(trial.kube.kubeconfig)}
    shell(shutil.which("helm") or helm, "uninstall", "visionthink", "-n", SPACE, "--wait", env=env)
    assert left_behind(trial.kube, SPACE) == []


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of an empty Postgres that pods reach: USER:PASSWORD@HOST:PORT."""
    found = [str(path) for path in Path("/usr/lib/postgresql").glob("*/bin")]
    initdb = shutil.which("initdb", path=os.pathsep.join([*found, os.environ["PATH"]]))
    if initdb is None:
        pytest.skip("no Postgres here for the production profile: apt-get install postgresql")
    (port,) = free_ports(NODE_ADDRESS, 1)
    with tempfile.TemporaryDirectory(prefix="vt-postgres-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        shutil.chown(name, "nobody")
        data = Path(name) / "data"
        password = Path(name) / "password"
        password.write_text("secret")
        shutil.chown(password, "nobody")
        words = ["-D", str(data), "-U", "mlflow", f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync"]
        subprocess.run([initdb, *words], user="nobody", cwd=name, check=True, capture_output=True, timeout=120)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 0.0.0.0/0 scram-sha-256\n")
        server = Path(initdb).resolve().with_name("postgres")
        options = ["-D", str(data), "-h", NODE_ADDRESS, "-p", str(port), "-k", name, "-F"]
        with (Path(name) / "log").open("wb") as log:
            process = subprocess.Popen([server, *options], user="nobody", cwd=name, stdout=log, stderr=log)
        try:
            at = ["-h", NODE_ADDRESS, "-p", str(port)]
            ready = [str(server.with_name("pg_isready")), *at]
            until(lambda: _succeeds(ready), what="Postgres", timeout_s=60)
            psql = [str(server.with_name("psql")), *at, "-U", "mlflow", "-d", "postgres"]
            for base in ("mlflow", "auth"):
                shell(*psql, "-c", f"create database {base}", env={**os.environ, "PGPASSWORD": "secret"})
            yield f"mlflow:secret@{NODE_ADDRESS}:{port}"
        finally:
            process.terminate()
            process.wait(60)


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def _secrets(postgres: str) -> dict[str, Mapping[str, str]]:
    """The four Secrets of the page's table."""
    auth = configparser.ConfigParser()
    auth["mlflow"] = {
        "default_permission": "READ",
        "database_uri": f"postgresql://{postgres}/auth",
        "admin_username": ADMIN[0],
        "admin_password": ADMIN[1],
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    text = io.StringIO()
    auth.write(text)
    return {
        "visionthink-database": {"uri": f"postgresql://{postgres}/mlflow"},
        "visionthink-mlflow-auth": {
            "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0],
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-key-of-a-test",
            "basic_auth.ini": text.getvalue(),
        },
        "visionthink-s3": KEYS,
        "visionthink-mlflow-user": {"MLFLOW_TRACKING_USERNAME": ADMIN[0], "MLFLOW_TRACKING_PASSWORD": ADMIN[1]},
    }


def _own(bucket: Bucket) -> dict[str, Any]:
    """A reader's own file: S3's address, no model yet, and without what this cluster has not: GPUs, operators."""
    small = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}
    return {
        "mlflow": {"workers": 1, "resources": small, "startSeconds": 400},
        "s3": {"external": {"endpoint": f"http://{bucket.endpoint}"}},
        "serving": {"modelUri": "", "autoscaler": "none"},
        "judge": {"enabled": False},
        "kueue": {"enabled": False},
        "monitoring": {"enabled": False},
    }


@pytest.fixture(scope="module")
def production(desk: Desk, default_images: None, bucket: Bucket, postgres: str) -> Iterator[Desk]:
    bucket.client.create_bucket(Bucket="visionthink")
    (desk.folder / "own.yaml").write_text(yaml.safe_dump(_own(bucket)))
    with volumes(desk.kube):
        desk.type("kubectl create namespace")
        desk.type("kubectl label namespace")
        for name, data in _secrets(postgres).items():
            secret: Manifest = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": SPACE},
                "stringData": dict(data),
            }
            desk.kube.api.apply(secret)
        desk.type("kubectl -n visionthink annotate secret")
        desk.type("helm install")
        yield desk


def test_production_is_installed_with_its_own_stores_and_asks_who_calls(production: Desk) -> None:
    pods = production.get("pods", "-l", "app.kubernetes.io/component=mlflow")["items"]
    assert len(pods) == 2 and all(pod["status"]["phase"] == "Running" for pod in pods)
    assert production.get("statefulsets")["items"] == []
    with _forwarded(production, "service/visionthink-mlflow", 5000) as url:
        search = f"{url}/api/2.0/mlflow/experiments/search?max_results=5"
        assert httpx.get(search, timeout=30).status_code == 401
        assert httpx.get(search, auth=ADMIN, timeout=30).json()["experiments"][0]["name"] == "Default"


@contextmanager
def _forwarded(desk: Desk, target: str, port: int) -> Iterator[str]:
    """A port of this machine that leads to a Service."""
    (own,) = free_ports("127.0.0.1", 1)
    program = shutil.which("kubectl") or desk.kube.kubeconfig.parent / "bin" / "kubectl"
    command = [program, "--kubeconfig", desk.kube.kubeconfig, "-n", SPACE, "port-forward", target, f"{own}:{port}"]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{own}"
            until(_answers(f"{url}/health"), what=f"a way to {target}", timeout_s=60)
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> Callable[[], bool]:
    def holds() -> bool:
        try:
            return httpx.get(url, timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    return holds


def test_command_line_works_with_the_settings_of_the_installation(production: Desk) -> None:
    production.type("kubectl -n visionthink get configmap")
    assert 'namespace = "visionthink"' in production.type("visionthink config")
    told = production.tried("visionthink doctor")
    # The machine is none of the cluster's: names of Services mean nothing to it, and it says so.
    assert told.returncode in (0, 1) and "kind PyTorchJob" in told.stdout, told.stderr
    production.type("visionthink pipeline upload")
    assert production.kubeflow.pipelines
    production.type("visionthink pipeline run")
    (run,) = production.kubeflow.runs.values()
    assert run


def test_first_model_is_named_and_values_change(production: Desk) -> None:
    production.type("helm upgrade")
    (service,) = production.get("inferenceservices")["items"]
    assert service["spec"]["predictor"]["model"]["storageUri"] == "s3://visionthink/models/visionthink/1"
    production.type("helm upgrade")
    (found,) = production.get("deployments", "-l", "app.kubernetes.io/component=mlflow")["items"]
    assert "--workers=2" in " ".join(found["spec"]["template"]["spec"]["containers"][0]["args"])


def test_nothing_of_it_is_left(production: Desk) -> None:
    production.type("kubectl -n visionthink delete pytorchjobs")
    production.type("helm uninstall")

    def left() -> set[str]:
        kinds = ("persistentvolumeclaim/visionthink-", "secret/visionthink-")
        return {name for name in left_behind(production.kube, SPACE) if not name.startswith(kinds)}

    until(lambda: not left(), what="an empty namespace", timeout_s=120)
    claims = {one["metadata"]["name"] for one in production.get("persistentvolumeclaims")["items"]}
    assert claims == {"visionthink-runs"}, "a production keeps the volume of the runs"


def test_every_command_of_the_page_was_typed(desk: Desk) -> None:
    assert desk.typed == COMMANDS
