"""The commands `base-model ...`: the embedded models and how they are made."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The embedded base model.", no_args_is_help=True, rich_markup_mode=None)


class _Kind(StrEnum):
    """Presets whose base model is built here."""

    EMBEDDED = "embedded"
    REGION = "region"
    SCATTERED = "scattered"


_Out = Annotated[Path, typer.Option("--out", help="Folder to make.", metavar="DIR")]
_Seed = Annotated[int, typer.Option("--seed", help="Seed of weights and pictures.")]
_Preset = Annotated[_Kind, typer.Option("--preset", help="The preset that it is the base model of.")]


@app.callback()
def _group() -> None:
    """The embedded base model."""


@app.command()
def build(out: _Out, seed: _Seed = 0, preset: _Preset = _Kind.EMBEDDED) -> None:
    """Build a tiny Qwen2.5-VL that ships with the package: configuration, tokenizer, pretraining, warm-up."""
    from visionthink.model.build import MAKINGS, build_base_model

    build_base_model(out, seed=seed, making=MAKINGS[preset.value])
