"""The command `run`: the whole method, from pictures to a served model."""

import os
import sys
from typing import Annotated

import typer

from visionthink.cli.choosing import Chosen, choose_whole_run, publish_as_latest
from visionthink.cli.machine import check_folder
from visionthink.cli.settings import Settings, takes_settings
from visionthink.runs.choice import latest_run
from visionthink.runs.folder import STAGES
from visionthink.runs.lock import locked
from visionthink.runs.stopwatch import Stopwatch
from visionthink.runs.summary import keep_summary, summary_of

_RunId = Annotated[str | None, typer.Option("--run-id", help="Name of the run: begin it or go on with it.")]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Begin a new run even if the latest one is not done.")]
_Direct = Annotated[bool, typer.Option("--direct", help="Run the stages in this process, without kfp: for debugging.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(takes_settings(run))


def run(settings: Settings, run_id: _RunId = None, fresh: _Fresh = False, direct: _Direct = False) -> None:
    """Label, train, evaluate, register and serve; a run that was killed goes on where it was."""
    from visionthink.cli.finish import record, show

    chosen = choose_whole_run(settings, run_id=run_id, fresh=fresh)
    _check(chosen)
    folder, config = chosen
    with locked(folder.path), Stopwatch(folder.path / "seconds.json") as stopwatch:
        is_resumed = folder.config_path.exists()
        changed = folder.begin(config)
        if not is_resumed or latest_run(folder.runs_dir) is None:
            publish_as_latest(chosen)
        print(f"{'going on with' if is_resumed else 'new'} run {folder.path}", file=sys.stderr, flush=True)
        if changed:
            _say(f"note: from now on {', '.join(changed)}")
        _run_stages(chosen, direct=direct)
        summary = summary_of(folder, total_s=stopwatch.wall_s)
        record(folder, config, summary)
        keep_summary(folder, summary)  # last: it says that the run is done
    show(folder, summary)


def _check(chosen: Chosen) -> None:
    """Find out now what would end the run later."""
    from visionthink.stage import check_inputs

    check_folder(chosen.folder.path, os.environ)
    check_inputs(chosen.config, trains=True)


def _run_stages(chosen: Chosen, *, direct: bool) -> None:
    folder, config_json = chosen.folder, chosen.config.model_dump_json()
    if not direct:
        from visionthink.pipelines.local import run_local

        run_local(config_json, str(folder.path), say=_say)
        return
    from visionthink.stage import run_stage

    for number, stage in enumerate(STAGES, start=1):
        _say(f"[{number}/{len(STAGES)}] {stage}")
        run_stage(stage, config_json, str(folder.path))


def _say(line: str) -> None:
    # Not print: kfp puts its own in place of it while a pipeline runs.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
