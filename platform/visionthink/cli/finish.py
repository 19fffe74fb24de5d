"""The end of a run: its figures in the tracker, a table, and what to type next."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from visionthink.cli.settings import RUNS_DIR
from visionthink.cli.table import print_rows
from visionthink.config import RunConfig
from visionthink.core.json_value import Json
from visionthink.metrics import STAGE_S
from visionthink.runs.folder import LATEST, RunFolder


def record(folder: RunFolder, config: RunConfig, summary: Mapping[str, Json]) -> None:
    """Put the headline figures on the run's own page in the tracker, above those of its stages."""
    from visionthink.stage import tracking_of
    from visionthink.tracking import PIPELINE_STAGE, RunSpec, flatten, keep_json, tracked

    seconds = summary["seconds"]
    assert isinstance(seconds, dict), seconds
    tracker = tracking_of(config, folder, os.environ).tracker
    with tracked(tracker, RunSpec(run_id=folder.run_id, stage=PIPELINE_STAGE)) as run:
        run.log_params(flatten(config.model_dump(mode="json")))
        metrics = dict(folder.finished("evaluate").metrics) | dict(folder.finished("label").metrics)
        metrics |= {STAGE_S.key(stage=stage): float(str(value)) for stage, value in seconds.items()}
        run.log_metrics(metrics)
        keep_json(run, folder.recorded_summary_path, dict(summary))
        run.log_artifact(folder.report_path)


def show(folder: RunFolder, summary: Mapping[str, Json]) -> None:
    """Print the table and the next commands."""
    print_rows(folder)
    answer = f"served: {summary['served_answer']!r}, right is {summary['served_want']!r}"
    print(f"{answer}; {_verdict(summary, is_owed=folder.finished('register').is_owed)}")
    seconds = summary["seconds"]
    assert isinstance(seconds, dict), seconds
    print("seconds: " + ", ".join(f"{stage} {value}" for stage, value in seconds.items()))
    program = _program(sys.argv[0])
    is_usual = folder.runs_dir == RUNS_DIR.resolve()
    commands = {
        f"{program} ui{'' if is_usual else f' --runs-dir {_short(folder.runs_dir)}'}": "the curves in MLflow",
        f"{program} serve{'' if is_usual else f' --run-dir {_short(folder.path)}'}": (
            "the trained model behind an OpenAI-compatible endpoint"
        ),
        f"open {_report(folder)}": "the report with figures and conversations",
    }
    width = max(map(len, commands))
    print("\nNext:", *(f"  {command:<{width}}  {meaning}" for command, meaning in commands.items()), sep="\n")


def _verdict(summary: Mapping[str, Json], *, is_owed: bool) -> str:
    if summary["model_version"] is None:
        return (
            "the model is in register/model, but no registry was there to hold it: "
            "`visionthink register` makes up for it"
        )
    if is_owed:
        return (
            f"version {summary['model_version']} passed the gate, but the registry did not take the alias: "
            "`visionthink register` makes up for it"
        )
    promoted = "promoted" if summary["promoted"] else "not promoted (register/decision.json says why)"
    return f"version {summary['model_version']} {promoted}"


def _report(folder: RunFolder) -> str:
    """The page by the shortest name that leads to it."""
    latest = folder.runs_dir / LATEST
    is_latest = latest.is_dir() and latest.resolve() == folder.path
    return _short((latest if is_latest else folder.path) / folder.report_path.name)


def _program(started_as: str) -> str:
    """How this program can be started again from here."""
    name = Path(started_as).name
    found = shutil.which(name)
    if found is not None and Path(found).resolve() == Path(started_as).resolve():
        return name
    return _short(Path(started_as).absolute()) if name == "visionthink" else "visionthink"


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
