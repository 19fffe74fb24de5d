"""The commands `base-model ...`: the embedded model and how it is made."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The embedded base model.", no_args_is_help=True, rich_markup_mode=None)

_Out = Annotated[Path, typer.Option("--out", help="Folder to make.", metavar="DIR")]
_Seed = Annotated[int, typer.Option("--seed", help="Seed of weights and pictures.")]


@app.callback()
def _group() -> None:
    """The embedded base model."""


@app.command()
def build(out: _Out, seed: _Seed = 0) -> None:
    """Build the tiny Qwen2.5-VL that ships with the package: configuration, tokenizer, pretraining, warm-up."""
    from visionthink.model.build import build_base_model

    build_base_model(out, seed=seed)
