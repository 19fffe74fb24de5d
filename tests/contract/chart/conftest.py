"""The chart as Helm itself renders it.

Helm is VISIONTHINK_HELM, the one on the PATH, the one that `make setup-chart` got, or the one of a cluster kit beside
the checkout. Without any, these tests are skipped.
"""

import json
import lzma
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[3]
CHART: Final = ROOT / "charts" / "visionthink"
TOOLS: Final = ROOT / ".tools" / "chart" / "bin"
PROFILES: Final = ("trial", "production")
APIS: Final = (
    "gateway.networking.k8s.io/v1/HTTPRoute",
    "keda.sh/v1alpha1/ScaledObject",
    "kubeflow.org/v1/PyTorchJob",
    "kueue.x-k8s.io/v1beta1/LocalQueue",
    "monitoring.coreos.com/v1/PodMonitor",
    "serving.kserve.io/v1alpha1/ServingRuntime",
    "serving.kserve.io/v1beta1/InferenceService",
)
"""What a cluster with every operator knows."""
VERSION: Final = "--kube-version=1.36.0"
"""What a helm that was compiled from its source would take for 1.20."""
_KIT: Final = ROOT.parent / "shared" / "kube" / "bin" / "helm.xz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Helm:
    """The program, and the chart in its hands."""

    program: Path
    home: Path

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": os.devnull}
        return subprocess.run(
            [str(self.program), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120, env=env
        )

    def template(
        self, values: dict[str, object] | None = None, *, profile: str | None = None, apis: Sequence[str] = APIS
    ) -> "subprocess.CompletedProcess[str]":
        """What `helm template` says with these values on top of a profile."""
        files = [f"--values={CHART / f'values-{profile}.yaml'}"] if profile else []
        sets = [f"--set-json={key}={json.dumps(value)}" for key, value in (values or {}).items()]
        known = [f"--api-versions={api}" for api in apis]
        return self.run("template", "visionthink", CHART, "--namespace=visionthink", VERSION, *files, *sets, *known)

    def objects(self, values: dict[str, object] | None = None, *, profile: str | None = None) -> list[dict[str, Any]]:
        """The objects that are installed with these values."""
        done = self.template(values, profile=profile)
        assert done.returncode == 0, done.stderr
        return objects(done.stdout)

    def refusal(self, values: dict[str, object], *, apis: Sequence[str] = APIS) -> str:
        """Why these values are refused."""
        done = self.template(values, apis=apis)
        assert done.returncode != 0, "nothing was refused"
        return done.stderr


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a YAML stream."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, Loader=loader) if document]


def only(found: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    """The one object of that kind, and of that name."""
    (one,) = [made for made in found if made["kind"] == kind and name in (None, made["metadata"]["name"])]
    return one


def pods(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The spec of every pod of these objects, by the name of its owner."""
    return {
        made["metadata"]["name"]: made["spec"] if made["kind"] == "Pod" else made["spec"]["template"]["spec"]
        for made in found
        if made["kind"] in {"Deployment", "StatefulSet", "Job", "Pod"}
    }


def find_tool(name: str) -> Path | None:
    """A program of the PATH, or of `make setup-chart`."""
    found = shutil.which(name) or shutil.which(name, path=TOOLS)
    return Path(found) if found else None


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    home = tmp_path_factory.mktemp("helm")
    named = os.environ.get("VISIONTHINK_HELM")
    program = Path(named) if named else find_tool("helm")
    if program is None and _KIT.exists():
        program = home / "helm"
        program.write_bytes(lzma.decompress(_KIT.read_bytes()))
        program.chmod(0o755)
    if program is None:
        pytest.skip("helm is not on the PATH: `make setup-chart` gets it, or name it in VISIONTHINK_HELM")
    return Helm(program=program, home=home)


@pytest.fixture(scope="session")
def profiles(helm: Helm) -> dict[str, list[dict[str, Any]]]:
    """What each profile installs."""
    return {profile: helm.objects(profile=profile) for profile in PROFILES}
