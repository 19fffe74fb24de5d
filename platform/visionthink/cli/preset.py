"""The commands `preset list` and `preset show`: the settings that ship with the package."""

from typing import Annotated

import typer

from visionthink.config import preset_names, preset_text, preset_title

app = typer.Typer(help="Settings that ship with the package, for --preset.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="Name of a preset.", metavar="NAME")]


@app.command("list")
def list_presets() -> None:
    """Print every preset and what it is for."""
    width = max(map(len, preset_names()))
    for name in preset_names():
        print(f"{name:{width}}  {preset_title(name)}")


@app.command()
def show(name: _Name) -> None:
    """Print a preset as a TOML file: what differs from the defaults, and where each number comes from."""
    print(preset_text(name), end="")
