"""The command `doctor`: what a cluster lacks, and the command that mends it.

Rule: exit code 0 where nothing is wrong, 1 where something is. What could not be looked at is told, and is no failure.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from visionthink.cli.settings import Settings, takes_settings

if TYPE_CHECKING:
    from visionthink.doctor import Diagnosis

_MARKS: Final = {"ok": "ok     ", "unknown": "unknown", "wrong": "WRONG  "}

_Json = Annotated[bool, typer.Option("--json", help="Print the diagnoses as JSON.")]
_Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Default: the pod's own cluster, or else yours.", metavar="FILE")
]
_Namespace = Annotated[str | None, typer.Option("--namespace", help="Where the platform is installed.")]
_Account = Annotated[str, typer.Option("--service-account", help="Whose rights are examined: that of the steps.")]
_Kubeflow = Annotated[
    str | None,
    typer.Option("--kfp", help="Kubeflow Pipelines' address. Default: KF_PIPELINES_ENDPOINT.", metavar="URL"),
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(takes_settings(doctor, only=("config", "preset", "set_")))


def doctor(
    settings: Settings,
    as_json: _Json = False,
    kubeconfig: _Kubeconfig = None,
    namespace: _Namespace = None,
    service_account: _Account = "visionthink-pipeline",
    kfp: _Kubeflow = None,
) -> None:
    """Examine the cluster and the servers that the settings name; say what is wrong and how to mend it."""
    from visionthink.doctor import check_up

    given = {"cluster.namespace": namespace} if namespace is not None else {}
    config = settings.with_overrides(given).resolve()
    found = check_up(config, account=service_account, env=os.environ, kubeconfig=kubeconfig, kubeflow=kfp)
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        print("\n".join(line for diagnosis in found.diagnoses for line in _lines(diagnosis)))
    if not found.is_healthy:
        raise typer.Exit(1)


def _lines(diagnosis: "Diagnosis") -> list[str]:
    told = f"{_MARKS[diagnosis.health.value]}  {diagnosis.name}: {' '.join(diagnosis.found.split())}"
    return [told, *([f"         -> {diagnosis.mend}"] if diagnosis.mend else [])]
