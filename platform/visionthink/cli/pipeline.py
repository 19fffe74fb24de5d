"""The commands `pipeline ...`: the pipeline as a file for a cluster."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from visionthink.cli.machine import check_temporary
from visionthink.errors import ConfigError

app = typer.Typer(help="The Kubeflow pipeline.", no_args_is_help=True, rich_markup_mode=None)

_Out = Annotated[Path, typer.Option("--out", help="YAML file to write.", metavar="FILE")]
_Image = Annotated[str | None, typer.Option("--image", help="Image of every step.")]
_Retries = Annotated[int, typer.Option("--retries", min=0, help="Tries after the first one of a step fails.")]
_Claim = Annotated[
    str | None,
    typer.Option("--runs-claim", help="PersistentVolumeClaim to mount at /runs; without it nothing is shared."),
]
_Env = Annotated[
    list[str] | None, typer.Option("--env", help="Variable of every step. Repeatable.", metavar="NAME=VALUE")
]


@app.callback()
def _group() -> None:
    """The Kubeflow pipeline."""


@app.command("compile")
def compile_(
    out: _Out = Path("visionthink-pipeline.yaml"),
    image: _Image = None,
    retries: _Retries = 2,
    runs_claim: _Claim = None,
    env: _Env = None,
) -> None:
    """Compile the pipeline that `visionthink run` executes, for a cluster."""
    from visionthink.pipelines.compile import compile_pipeline, default_image
    from visionthink.pipelines.visionthink_pipeline import PipelineOptions

    options = PipelineOptions(
        image=image or default_image(os.environ),
        num_retries=retries,
        runs_claim=runs_claim,
        env=dict(map(_pair, env or [])),
    )
    check_temporary(os.environ)
    compile_pipeline(options, out)
    print(f"wrote {out}", file=sys.stderr)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ConfigError(f"--env {text!r} is not NAME=VALUE; write --env MLFLOW_TRACKING_URI=http://mlflow:5000")
    return name, value
