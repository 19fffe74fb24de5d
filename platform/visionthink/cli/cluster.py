"""The commands `cluster ...`: what runs on Kubernetes, as YAML to read, review or apply."""

from typing import Annotated, Any

import typer

from visionthink.cli.settings import Settings, takes_settings
from visionthink.config import RunConfig
from visionthink.errors import ConfigError

app = typer.Typer(help="What runs on a Kubernetes cluster.", no_args_is_help=True, rich_markup_mode=None)
render = typer.Typer(help="Print objects as YAML.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(render, name="render")

_Model = Annotated[
    str | None, typer.Option("--model", help="Where the model lies: s3://BUCKET/PREFIX. Default: the settings'.")
]
_RunId = Annotated[str, typer.Option("--run-id", help="The run that is trained; the job is named after it.")]
_Program = Annotated[
    list[str] | None, typer.Argument(help="The command to run on the first node, behind --.", metavar="COMMAND...")
]
_Namespace = Annotated[str | None, typer.Option("--namespace", help="Where everything is put.")]


@app.callback()
def _group() -> None:
    """What runs on a Kubernetes cluster."""


@render.callback()
def _render_group() -> None:
    """Print objects as YAML."""


def serving(settings: Settings, model: _Model = None, namespace: _Namespace = None) -> None:
    """ServingRuntime, InferenceService, disruption budget and route of a model: pipe it to `kubectl apply -f -`."""
    from visionthink.cluster import ModelVersion, serving_objects, to_yaml

    given = {"cluster.serving.model_uri": model, "cluster.namespace": namespace}
    config = settings.with_overrides({key: value for key, value in given.items() if value is not None}).resolve()
    uri = config.cluster.serving.model_uri
    if uri is None:
        raise ConfigError("no model is named; write --model s3://BUCKET/PREFIX, or set cluster.serving.model_uri")
    print(to_yaml(serving_objects(config.cluster, config.serve, ModelVersion(uri=uri))), end="")


def training(
    settings: Settings, run_id: _RunId = "RUN", program: _Program = None, namespace: _Namespace = None
) -> None:
    """The PyTorchJob of a training whose first node runs COMMAND: pipe it to `kubectl apply -f -`."""
    from visionthink.cluster import to_yaml
    from visionthink.cluster.training import TrainingJob, pytorch_job

    given = {"cluster.namespace": namespace} if namespace is not None else {}
    config = settings.with_overrides(given).resolve()
    _check_memory(config)
    job = TrainingJob(run_id=run_id, program=tuple(program or ()), num_steps=config.train.num_steps)
    print(to_yaml([pytorch_job(config, job)]), end="")


def _check_memory(config: RunConfig) -> None:
    """Refuse a training that its machines cannot hold, where the base model is here to be measured."""
    from visionthink.model.bundled import base_folder
    from visionthink.storage.json_file import read_json
    from visionthink.training.verl.memory import check_memory, shape_of

    path = base_folder(config.model.base) / "config.json"
    if path.is_file():
        model_config: Any = read_json(path)
        check_memory(config, shape_of(model_config))


render.command()(takes_settings(serving, only=("config", "preset", "set_")))
render.command(context_settings={"allow_interspersed_args": False})(
    takes_settings(training, only=("config", "preset", "set_"))
)
