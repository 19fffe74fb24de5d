"""The command `report`: the evaluations of several runs on one page."""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from visionthink.errors import ConfigError
from visionthink.runs.folder import RunFolder

_Runs = Annotated[list[Path], typer.Argument(help="Folders of runs that are evaluated.", metavar="RUN...")]
_Out = Annotated[Path, typer.Option("--out", help="HTML file to write.", metavar="FILE")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(report)


def report(runs: _Runs, out: _Out = Path("report.html")) -> None:
    """Lay evaluations side by side, a run for each benchmark: bars, tables, and the paper's own figures."""
    from visionthink.evaluation.kept_figures import kept_figures
    from visionthink.report import ReportInput, render_report
    from visionthink.storage import atomic_write

    found = [kept_figures(RunFolder(path)) for path in runs]
    twice = [name for name, count in Counter(one.name for one in found).items() if count > 1]
    if twice:
        raise ConfigError(f"several of these runs were evaluated on {', '.join(twice)}; name one for each benchmark")
    page = ReportInput(
        title="Evaluation by benchmark" if len(found) > 1 else f"Evaluation: {found[0].name}",
        subtitle=" · ".join(one.origin for one in found),
        contenders=found[0].contenders if len(found) == 1 else (),
        benchmarks=tuple(found),
    )
    atomic_write(out, render_report(page).encode())
    print(f"wrote {out}", file=sys.stderr)
