"""The command `world`: pictures, questions and answers of the picture world as a file, or as a sheet to look at."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from visionthink.cli.settings import names
from visionthink.config.data import WorldLayout
from visionthink.core.sample import Sample
from visionthink.errors import ConfigError

_OUT = Annotated[Path | None, typer.Option("--out", help="Parquet file to write.", metavar="FILE")]
_Look = Annotated[
    Path | None, typer.Option("--look", help="PNG to write: pictures with their questions.", metavar="FILE")
]
_Split = Annotated[str, typer.Option("--split", help="pretrain, train, validation or test.")]
_Count = Annotated[int, typer.Option("--count", min=1, help="Number of samples.")]
_Seed = Annotated[int, typer.Option("--world-seed", help="Seed: other pictures.")]
_Families = Annotated[str | None, typer.Option("--families", help="Comma-separated; default: all.", metavar="A,B")]
_Layout = Annotated[WorldLayout, typer.Option("--layout", help="Of the pictures.")]
_Ratio = Annotated[float, typer.Option("--needed-ratio", help="Share of questions that need the full resolution.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(world)


def world(
    out: _OUT = None,
    look: _Look = None,
    split: _Split = "test",
    count: _Count = 24,
    world_seed: _Seed = 0,
    families: _Families = None,
    needed_ratio: _Ratio = 0.5,
    layout: _Layout = "grid",
) -> None:
    """Write samples of the picture world."""
    from visionthink.datasets.world import generate, get_layout

    if out is None and look is None:
        raise ConfigError("nothing to write: give --out FILE.parquet, --look FILE.png, or both")
    chosen, made = names(families), get_layout(layout)
    samples = list(
        generate(
            _checked_split(split),
            count,
            seed=world_seed,
            families=tuple(made.families) if chosen is None else chosen,
            needed_ratio=needed_ratio,
            layout=made,
        )
    )
    if out is not None:
        from visionthink.datasets.parquet import write_samples

        write_samples(out, samples)
        print(f"wrote {count} samples to {out}", file=sys.stderr)
    if look is not None:
        from visionthink.storage import atomic_write

        atomic_write(look, contact_sheet(samples))
        print(f"wrote {look}", file=sys.stderr)


def contact_sheet(samples: Sequence[Sample], *, columns: int = 6, zoom: int = 2) -> bytes:
    """A PNG of all pictures, each with its question, answer and need below it."""
    from PIL import Image, ImageDraw

    pictures = [Image.open(io.BytesIO(sample.picture)).convert("RGB") for sample in samples]
    side, text = max(max(picture.size) for picture in pictures) * zoom, 44
    rows = -(-len(samples) // columns)
    sheet = Image.new("RGB", (columns * (side + 12) + 12, rows * (side + text + 12) + 12), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (sample, picture) in enumerate(zip(samples, pictures, strict=True)):
        left, top = 12 + index % columns * (side + 12), 12 + index // columns * (side + text + 12)
        scaled = picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
        sheet.paste(scaled, (left, top))
        need = {True: "needs the full view", False: "quarter view is enough", None: "need unknown"}
        lines = (sample.question, f"{sample.answer}   ({sample.family})", need[sample.needs_high_res])
        pen.multiline_text((left, top + side + 3), "\n".join(lines), fill="black", spacing=2)
    file = io.BytesIO()
    sheet.save(file, format="PNG")
    return file.getvalue()


def _checked_split(name: str) -> Any:
    """The split of that name; typer cannot read the Literal of a module that is loaded later."""
    from typing import get_args

    from visionthink.datasets.world import Split

    if name not in get_args(Split):
        raise ConfigError(f"there is no split {name!r}; choose one of {', '.join(get_args(Split))}")
    return name
