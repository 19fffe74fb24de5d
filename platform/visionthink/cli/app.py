"""All commands, and the one place where an error becomes a line and an exit code.

Exit codes: 0 done, 2 the user can mend it (also a full disk, and a required tracker that is not there), 1 something
outside failed or the program has a bug, 130 interrupted.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import typer

from visionthink import __version__
from visionthink.cli import (
    base_model,
    benchmarks,
    cluster,
    config,
    doctor,
    judge,
    pipeline,
    preset,
    report,
    rollout,
    run,
    serve,
    stage,
    ui,
    world,
)
from visionthink.cli.machine import settle_in
from visionthink.errors import VisionThinkError
from visionthink.runs.failure import INTERRUPTED
from visionthink.storage.error import from_os_error, is_full

_DEBUG: Final = "--debug"

app = typer.Typer(
    name="visionthink",
    help="Teach a vision-language model to look at a quarter of the pixels first, and serve it.",
    epilog=f"{_DEBUG} anywhere on the line shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _module in (run, stage, serve, ui, report, config, world, doctor):
    _module.add_to(app)
app.add_typer(base_model.app, name="base-model")
app.add_typer(benchmarks.app, name="benchmarks")
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(judge.app, name="judge")
app.add_typer(preset.app, name="preset")
app.add_typer(cluster.app, name="cluster")
app.add_typer(rollout.app, name="rollout")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Teach a vision-language model to look at a quarter of the pixels first, and serve it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command on the line and exit."""
    if arguments is None:  # the process is this program's own
        settle_in(os.environ)
    given = list(sys.argv[1:] if arguments is None else arguments)
    show_trace = _DEBUG in given
    sys.exit(run_command([argument for argument in given if argument != _DEBUG], show_trace=show_trace))


def run_command(arguments: Sequence[str], *, show_trace: bool = False) -> int:
    """Run a command and return its exit code; what went wrong is one line on standard error."""
    try:
        app(list(arguments), prog_name="visionthink")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except KeyboardInterrupt:
        return _told("interrupted; the same command goes on from here", INTERRUPTED, show_trace=show_trace)
    except VisionThinkError as error:
        return _told(str(error), error.exit_code, show_trace=show_trace)
    except Exception as error:
        if isinstance(error, OSError) and is_full(error):
            full = from_os_error(error, str(error.filename or "a file"), "write")
            return _told(str(full), full.exit_code, show_trace=show_trace)
        line = f"{type(error).__name__}: {error} (a bug: {_DEBUG} shows where)"
        return _told(line, 1, show_trace=show_trace)
    return 0


def _told(message: str, code: int, *, show_trace: bool) -> int:
    if show_trace:
        traceback.print_exc()
    print(f"error: {' '.join(message.splitlines())}", file=sys.stderr, flush=True)
    return code
