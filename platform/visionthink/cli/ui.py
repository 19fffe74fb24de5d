"""The command `ui`: MLflow's own pages on the recorded runs."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from visionthink.cli.settings import RUNS_DIR
from visionthink.errors import ConfigError, UserError

_Runs = Annotated[Path, typer.Option("--runs-dir", help="Where the runs lie.", metavar="DIR")]
_Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
_Port = Annotated[int, typer.Option("--port", help="Port to listen on.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(ui)


def ui(runs_dir: _Runs = RUNS_DIR, host: _Host = "127.0.0.1", port: _Port = 5000) -> None:
    """Open the MLflow UI on the recorded runs, until it is stopped."""
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if server.startswith(("http://", "https://")):
        raise ConfigError(f"runs are recorded by the MLflow server at {server}; open that address in a browser")
    database = runs_dir.absolute() / "mlflow.db"
    if not server and not database.exists():
        raise UserError(f"nothing was recorded in {runs_dir} yet; start a run with `visionthink run`")
    print(f"MLflow on http://{host}:{port} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    arguments = ["--backend-store-uri", server or f"sqlite:///{database}", "--host", host, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", "--workers", "1", *arguments])
