"""Helm on a cluster, and what a release of the chart leaves there."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster.conftest import ROOT, Kube

CHART: Final = ROOT / "charts" / "visionthink"
FORCED: Final = ("--force-conflicts",)
"""What Helm 4 wants to be told once a rollout has written to an object of the chart's."""


class Helm:
    """The program, on a cluster."""

    def __init__(self, kube: Kube, home: Path) -> None:
        self._program = shutil.which("helm") or kube.kubeconfig.parent / "bin" / "helm"
        self._env = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(kube.kubeconfig)}

    def __call__(self, *arguments: str | Path, values: Mapping[str, object] | None = None) -> str:
        """What it says; it must succeed."""
        sets = [f"--set-json={key}={json.dumps(value)}" for key, value in (values or {}).items()]
        done = subprocess.run(
            [str(self._program), *map(str, arguments), *sets],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=self._env,
        )
        assert done.returncode == 0, f"helm {arguments[0]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


def left_behind(kube: Kube, space: str) -> list[str]:
    """Everything in a namespace that Kubernetes did not put there itself."""
    kinds = kube.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    names = ",".join(kind for kind in kinds if not kind.startswith("events"))
    told = kube.kubectl("-n", space, "get", names, "-o", "name", "--ignore-not-found").split()
    return sorted(set(told) - {"configmap/kube-root-ca.crt", "serviceaccount/default"})
