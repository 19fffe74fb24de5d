"""The command `ui`: MLflow's own pages on the recorded runs.

Rule: it opens what the latest run was recorded in, as its settings say, or else the environment, or else the folder.
"""

import os
import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import typer

from visionthink.cli.settings import RUNS_DIR
from visionthink.errors import ConfigError, UserError
from visionthink.network import url_host, without_secrets
from visionthink.runs.choice import latest_run

_Runs = Annotated[Path, typer.Option("--runs-dir", help="Where the runs lie.", metavar="DIR")]
_Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
_Port = Annotated[int, typer.Option("--port", help="Port to listen on.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(ui)


def ui(runs_dir: _Runs = RUNS_DIR, host: _Host = "127.0.0.1", port: _Port = 5000) -> None:
    """Open the MLflow UI on the recorded runs, until it is stopped."""
    from visionthink.tracking.mlflow_database import database_of, follow_move, sqlite_uri

    named = _named_by_the_latest_run(runs_dir) or os.environ.get("MLFLOW_TRACKING_URI") or ""
    if named.startswith(("http://", "https://")):
        raise ConfigError(
            f"runs are recorded by the MLflow server at {without_secrets(named)}; open that address in a browser"
        )
    uri = named or sqlite_uri(runs_dir.resolve() / "mlflow.db")
    database = database_of(uri)
    if not named and not (database and database.exists()):
        raise UserError(f"nothing was recorded in {runs_dir} yet; start a run with `visionthink run`")
    if database is not None and database.exists():
        try:
            follow_move(database)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{database} cannot be opened: {error}") from error
    print(f"MLflow on http://{url_host(host)}:{port} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    arguments = ["--backend-store-uri", uri, "--host", host.strip("[]"), "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", "--workers", "1", *arguments])


def _named_by_the_latest_run(runs_dir: Path) -> str | None:
    """The tracker of the settings of the latest run; None where there is no run, or it names none."""
    folder = latest_run(runs_dir)
    return folder.config().tracking.uri if folder is not None and folder.config_path.exists() else None
