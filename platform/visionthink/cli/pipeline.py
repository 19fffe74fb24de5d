"""The commands `pipeline ...`: the pipelines for a cluster as files, on Kubeflow's server, and as runs."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from visionthink.cli.machine import check_temporary
from visionthink.errors import ConfigError

if TYPE_CHECKING:
    from visionthink.pipelines.cluster.client import KubeflowPipelines

app = typer.Typer(help="The Kubeflow pipelines.", no_args_is_help=True, rich_markup_mode=None)

HOST_VARIABLE: Final = "KF_PIPELINES_ENDPOINT"
"""Kubeflow's own name for where its server is."""

_Name = Annotated[
    str, typer.Argument(help="visionthink (the whole method), label, train, evaluate, promote or rollback.")
]
_Out = Annotated[
    Path | None, typer.Option("--out", help="YAML file to write. Default: NAME-pipeline.yaml.", metavar="FILE")
]
_Installation = Annotated[
    Path | None,
    typer.Option(
        "--installation",
        help="Options as a file: `pipeline.toml` of the ConfigMap RELEASE-settings. Default: those of a release "
        "called visionthink.",
        metavar="FILE",
    ),
]
_Image = Annotated[str | None, typer.Option("--image", help="Image of the steps that only talk to others.")]
_ModelImage = Annotated[str | None, typer.Option("--model-image", help="Image of the steps that may run a model.")]
_Retries = Annotated[int | None, typer.Option("--retries", min=0, help="Tries after the first one of a step fails.")]
_Claim = Annotated[
    str | None, typer.Option("--runs-claim", help="PersistentVolumeClaim of the runs; '' gives each step a folder.")
]
_Env = Annotated[
    list[str] | None, typer.Option("--env", help="Variable of every step. Repeatable.", metavar="NAME=VALUE")
]
_ModelGpus = Annotated[int | None, typer.Option("--model-gpus", min=0, help="GPUs of the steps that may run a model.")]
_TrainGpus = Annotated[
    int | None, typer.Option("--train-gpus", min=0, help="GPUs of each node of a training. Default: the settings'.")
]
_NodeLabels = Annotated[
    list[str] | None,
    typer.Option("--node-selector", help="Label of nodes with GPUs. Repeatable.", metavar="NAME=VALUE"),
]
_Names = Annotated[
    list[str] | None, typer.Argument(help="The pipelines, or `all`. Default: visionthink.", metavar="[NAME]...")
]
_Package = Annotated[
    Path | None, typer.Option("--package", help="A compiled file, in the place of the one that ships.", metavar="FILE")
]
_Host = Annotated[
    str | None, typer.Option("--host", help=f"Kubeflow Pipelines' address. Default: {HOST_VARIABLE}.", metavar="URL")
]
_Namespace = Annotated[str | None, typer.Option("--namespace", help="Yours, where Kubeflow has several users.")]
_Json = Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")]
_Params = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="A field of the form. Repeatable.", metavar="NAME=VALUE")
]
_RunName = Annotated[str | None, typer.Option("--run-name", help="What the run is called on Kubeflow's page.")]
_Experiment = Annotated[str, typer.Option("--experiment", help="Where it is listed.")]
_Account = Annotated[
    str | None, typer.Option("--service-account", help="Whose rights the steps have. Default: the installation's.")
]
_Wait = Annotated[bool, typer.Option("--wait", help="Return when the run has ended; 0 only if it succeeded.")]
_Timeout = Annotated[float, typer.Option("--timeout", min=1, help="Longest such wait.", metavar="SECONDS")]


@app.callback()
def _group() -> None:
    """The Kubeflow pipelines."""


@app.command("compile")
def compile_(
    name: _Name = "visionthink",
    out: _Out = None,
    installation: _Installation = None,
    image: _Image = None,
    model_image: _ModelImage = None,
    retries: _Retries = None,
    runs_claim: _Claim = None,
    env: _Env = None,
    model_gpus: _ModelGpus = None,
    train_gpus: _TrainGpus = None,
    node_selector: _NodeLabels = None,
) -> None:
    """Compile a pipeline for an installation; `upload` takes the file with --package."""
    from visionthink.pipelines.cluster.options import read_options
    from visionthink.pipelines.compile import IMAGE_VARIABLE, compile_pipeline

    _check_name(name)
    given = {
        "image": image or os.environ.get(IMAGE_VARIABLE) or None,
        "model_image": model_image,
        "num_retries": retries,
        "runs_claim": runs_claim,
        "env": dict(_pair(text, "--env") for text in env) if env else None,
        "model_gpus": model_gpus,
        "train_gpus": train_gpus,
        "node_selector": dict(_pair(text, "--node-selector", is_label=True) for text in node_selector or []) or None,
    }
    options = read_options(installation, {key: value for key, value in given.items() if value is not None})
    check_temporary(os.environ)
    target = out or Path(f"{name}-pipeline.yaml")
    compile_pipeline(name, options, target)
    print(f"wrote {target}", file=sys.stderr)


@app.command()
def upload(
    names: _Names = None,
    package: _Package = None,
    installation: _Installation = None,
    host: _Host = None,
    namespace: _Namespace = None,
    as_json: _Json = False,
) -> None:
    """Bring pipelines to Kubeflow's server; the same one twice is uploaded once."""
    from visionthink.pipelines.cluster.options import NAMES

    chosen = [one for name in names or ["visionthink"] for one in (NAMES if name == "all" else [name])]
    if package is not None and len(chosen) > 1:
        raise ConfigError(f"--package {package} is one pipeline, and {len(chosen)} are named; name one")
    texts = {name: _text(name, package, installation) for name in chosen}
    server = _server(host, namespace)
    for name, text in texts.items():
        made = server.upload(_server_name(name), text)
        told = {"name": _server_name(name), "pipeline_id": made.pipeline_id, "version_id": made.version_id}
        _show({**told, "new": made.is_new}, as_json=as_json)


@app.command()
def run(
    name: _Name = "visionthink",
    param: _Params = None,
    package: _Package = None,
    installation: _Installation = None,
    run_name: _RunName = None,
    experiment: _Experiment = "visionthink",
    service_account: _Account = None,
    host: _Host = None,
    namespace: _Namespace = None,
    wait: _Wait = False,
    timeout: _Timeout = 14 * 24 * 3600.0,
    as_json: _Json = False,
) -> None:
    """Upload a pipeline if it is not there, and start a run of it."""
    from visionthink.pipelines.cluster.client import check_arguments, version_name
    from visionthink.pipelines.cluster.options import read_options

    text = _text(name, package, installation)
    arguments = dict(_pair(one, "--param") for one in param or [])
    check_arguments(text, arguments)
    server = _server(host, namespace)
    uploaded = server.upload(_server_name(name), text)
    run_id = server.run(
        uploaded,
        arguments,
        name=run_name or f"{_server_name(name)} {version_name(text)}",
        experiment=experiment,
        account=service_account or read_options(installation, {}).service_account,
    )
    _show({"run_id": run_id, "pipeline_id": uploaded.pipeline_id, "version_id": uploaded.version_id}, as_json=as_json)
    if wait:
        server.wait(run_id, timeout_s=timeout, say=lambda line: print(line, file=sys.stderr, flush=True))


def _text(name: str, package: Path | None, installation: Path | None) -> str:
    """The compiled pipeline: a file, or compiled for the installation, or the one that ships."""
    from visionthink.pipelines.cluster.options import read_options
    from visionthink.pipelines.compile import compiled_text, shipped_text

    _check_name(name)
    if package is not None and installation is not None:
        raise ConfigError("--package is compiled already; leave it out, or --installation")
    if installation is not None:
        return compiled_text(name, read_options(installation, {}))
    if package is None:
        return shipped_text(name)
    try:
        return package.read_text(encoding="utf-8")
    except OSError as error:
        why = error.strerror
        raise ConfigError(f"{package} cannot be read: {why}; `visionthink pipeline compile` makes it") from error


def _server(host: str | None, namespace: str | None) -> "KubeflowPipelines":
    from visionthink.pipelines.cluster.client import KubeflowPipelines

    place = host or os.environ.get(HOST_VARIABLE)
    if not place:
        raise ConfigError(f"no Kubeflow Pipelines is named; write --host URL, or set {HOST_VARIABLE}")
    return KubeflowPipelines.connect(place, namespace=namespace, token=os.environ.get("KF_PIPELINES_TOKEN"))


def _server_name(name: str) -> str:
    return name if name == "visionthink" else f"visionthink-{name}"


def _check_name(name: str) -> None:
    from visionthink.pipelines.cluster.options import NAMES

    if name not in NAMES:
        raise ConfigError(f"there is no pipeline {name!r}; choose one of {', '.join(NAMES)}")


def _show(made: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(made))
    else:
        print(" ".join(f"{key}={value}" for key, value in made.items()))


def _pair(text: str, option: str, *, is_label: bool = False) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not (name.strip() if is_label else name.isidentifier()):
        raise ConfigError(f"{option} {text!r} is not NAME=VALUE; write {option} {_EXAMPLES[option]}")
    return name, value


_EXAMPLES: Final = {
    "--env": "MLFLOW_TRACKING_URI=http://mlflow:5000",
    "--node-selector": "nvidia.com/gpu.product=NVIDIA-H100",
    "--param": "preset=tiny-verl",
}
