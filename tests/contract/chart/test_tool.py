"""The field's own tools on the chart: suites beside the templates, the score of the objects, the list of values.

`make setup-chart` gets them. Where one is missing, its test is skipped and says so.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from tests.contract.chart.conftest import CHART, PROFILES, Helm, find_tool

ARGUED: Final = {
    "container-ephemeral-storage-request-and-limit": "uploads pass through MLflow's scratch: a limit would end one",
    "container-image-pull-policy": "images are pinned by version or digest, and are not fetched anew",
    "pod-probes-identical": "health is one address in MLflow and vLLM; the two probes differ in patience",
    "pod-networkpolicy": "what leaves a pod is the cluster's business, and nobody calls a pod of `helm test`",
    "networkpolicy-targets-pod": "pods of trainings and models are made by their operators",
    "deployment-has-host-podantiaffinity": "several pods are spread by topologySpreadConstraints instead",
    "deployment-strategy": "two pods never share a SQLite file: the trial's MLflow is taken down first",
    "deployment-replicas": "one judge is enough: stages wait for it",
    "statefulset-has-host-podantiaffinity": "the embedded object store is one pod",
    "statefulset-has-servicename": "the embedded object store is one pod behind a plain Service",
}
"""Checks of kube-score that are left out, and why. Processors have no limit: one would only slow a pod down."""


def tool(name: str) -> Path:
    found = find_tool(name)
    if found is None:
        pytest.skip(f"{name} is not on the PATH: `make setup-chart` gets it")
    return found


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def test_every_template_has_a_suite_of_its_own() -> None:
    templates = CHART / "templates"
    told = {
        place
        for suite in (CHART / "tests").rglob("*_test.yaml")
        for place in re.findall(r"(?m)^templates: \[(.+)\]$", suite.read_text())
    }
    assert {str(path.relative_to(templates)) for path in templates.rglob("*.yaml")} == told


def test_suites_pass() -> None:
    done = run(tool("helm-unittest"), "--strict", "-f", "tests/*_test.yaml", "-f", "tests/*/*_test.yaml", CHART)
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.findall(r"Tests:\s+(\d+) passed", done.stdout)[0]) > 100


@pytest.mark.parametrize("profile", PROFILES)
def test_objects_score_without_complaint(helm: Helm, tmp_path: Path, profile: str) -> None:
    rendered = tmp_path / "objects.yaml"
    rendered.write_text(helm.template(profile=profile).stdout)
    left_out = [f"--ignore-test={name}" for name in ARGUED]
    switches = ["--output-format=ci", "--exit-one-on-warning", "--ignore-container-cpu-limit"]
    done = run(tool("kube-score"), "score", *switches, *left_out, rendered)
    assert done.returncode == 0, "\n".join(re.findall(r"(?m)^\[(?:CRITICAL|WARNING).*$", done.stdout))


def test_list_of_values_is_as_its_tool_writes_it(tmp_path: Path) -> None:
    copy = tmp_path / "visionthink"
    shutil.copytree(CHART, copy)
    done = run(tool("helm-docs"), f"--chart-search-root={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert (copy / "README.md").read_text() == (CHART / "README.md").read_text(), "`make chart-docs` writes it"
