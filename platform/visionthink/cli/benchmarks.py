"""Public sets: the commands `benchmarks list` and `benchmarks mirror`, and what `evaluate --benchmark` asks."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from visionthink.cli.settings import Settings
from visionthink.core.excerpt import listed
from visionthink.errors import ConfigError

app = typer.Typer(help="Public sets of questions to evaluate on.", no_args_is_help=True, rich_markup_mode=None)

_Name = Annotated[str, typer.Argument(help="Name of a benchmark, as `benchmarks list` shows it.", metavar="NAME")]
_Dest = Annotated[str, typer.Argument(help="Folder or s3:// address to copy to.", metavar="DEST")]
_From = Annotated[
    str | None,
    typer.Option("--from", help="Another address on the hub, or a folder that holds the set.", metavar="ADDRESS"),
]
_Revision = Annotated[str | None, typer.Option("--revision", help="Branch, tag or hash on the hub.", metavar="REV")]


def asked_on(settings: Settings, names: Sequence[str], mirrors: str | None) -> list[Settings]:
    """The settings with which each benchmark is evaluated on, in order; its rows lie at `mirrors`/NAME.

    Raises:
        ConfigError: there is no such benchmark, one is named twice, or several without a place for each.
    """
    known = _names()
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"there is no benchmark {unknown[0]!r}; there are {listed(known, 20)}")
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"--benchmark takes names of benchmarks, each once, got {', '.join(names) or 'none'}")
    if mirrors is None and len(names) > 1:
        raise ConfigError(
            "the rows of several benchmarks lie in several places: copy each with `visionthink benchmarks mirror NAME "
            "DIR/NAME`, and name DIR with --mirrors"
        )
    place = {} if mirrors is None else {name: {"data.eval_source": f"{mirrors.rstrip('/')}/{name}"} for name in names}
    return [settings.with_overrides({"evaluate.benchmark": name, **place.get(name, {})}) for name in names]


def _names() -> list[str]:
    from visionthink.datasets.published import PUBLISHED

    return sorted(PUBLISHED)


@app.callback()
def _group() -> None:
    """Public sets of questions to evaluate on."""


@app.command("list")
def list_benchmarks() -> None:
    """Print every benchmark: its address on the hub, its split, the columns that are read, its score, its judge."""
    from visionthink.datasets.published import PUBLISHED
    from visionthink.evaluation.benchmarks.public import PUBLIC

    for name, benchmark in sorted(PUBLIC.items()):
        published = PUBLISHED[name]
        subset = f" ({published.subset})" if published.subset else ""
        optional = [column.partition(".")[0] for column in published.schema.optional]
        print(name)
        print(f"  set      {published.hub_id}{subset}, split {published.split}")
        print(f"  columns  {', '.join(published.schema.required)}")
        if optional:
            print(f"           where there: {', '.join(dict.fromkeys(optional))}")
        print(f"  score    {benchmark.scoring}")
        print(f"  judge    {'asked where a rule cannot tell' if benchmark.asks_judge else 'none'}")


@app.command()
def mirror(name: _Name, dest: _Dest, source: _From = None, revision: _Revision = None) -> None:
    """Copy a public set to a folder or bucket, for data.eval_source.

    The same command goes on with a copy that was cut off.
    """
    from visionthink.datasets.mirror import mirror as copied
    from visionthink.datasets.published import PUBLISHED
    from visionthink.storage import open_store

    if name not in PUBLISHED:
        raise ConfigError(f"there is no benchmark {name!r}; there are {listed(_names(), 20)}")
    manifest = copied(PUBLISHED[name], open_store(dest), source=source, revision=revision, say=_told)
    size = sum(entry.size_bytes for entry in manifest.files.values())
    _told(f"{len(manifest.files)} files, {size / 1e6:.1f} MB; evaluate on them with")
    print(f"--set evaluate.benchmark={name} --set data.eval_source={dest}")


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
