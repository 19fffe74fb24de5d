"""The commands that run one stage: `label`, `train`, `evaluate`, `register`."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from visionthink.cli.benchmarks import asked_on
from visionthink.cli.choosing import (
    Chosen,
    choose_begun_run,
    choose_evaluated_run,
    choose_judged_run,
    choose_whole_run,
    publish_as_latest,
)
from visionthink.cli.machine import check_folder
from visionthink.cli.node import node
from visionthink.cli.settings import Settings, names, takes_settings
from visionthink.config import RunConfig
from visionthink.errors import ConfigError
from visionthink.runs.choice import latest_run
from visionthink.runs.folder import RunFolder, Stage
from visionthink.runs.lock import locked
from visionthink.runs.stopwatch import read_seconds
from visionthink.runs.summary import keep_summary, summary_of
from visionthink.storage.json_file import read_json

_Model = Annotated[
    Path | None, typer.Option("--model", help="Judge the model in this folder, in a run of its own.", metavar="DIR")
]
_Benchmarks = Annotated[
    str | None,
    typer.Option("--benchmark", help="Public benchmarks, by commas; of several each gets a run.", metavar="NAMES"),
]
_Mirrors = Annotated[
    str | None, typer.Option("--mirrors", help="Where their rows lie, those of NAME at DIR/NAME.", metavar="DIR")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (label, evaluate, register):
        app.command()(takes_settings(command))
    training = typer.Typer(invoke_without_command=True)
    training.callback()(takes_settings(train))
    training.command(context_settings={"allow_interspersed_args": False})(node)
    app.add_typer(training, name="train")


def label(settings: Settings) -> None:
    """Find out with rollouts of the base model which questions need the full resolution."""
    chosen = choose_whole_run(settings, run_id=None, fresh=False)
    work_on("label", chosen)


def train(settings: Settings, context: typer.Context) -> None:
    """Teach the base model, by multi-turn GRPO on the labelled samples, when to ask for pixels."""
    if context.invoked_subcommand is None:
        work_on("train", choose_begun_run(settings))


def evaluate(settings: Settings, model: _Model = None, benchmark: _Benchmarks = None, mirrors: _Mirrors = None) -> None:
    """Judge the trained model on held-out questions, or with --model any model folder, without a training run.

    Questions other than the run's own (--world-seed, --families, --benchmark, --set data.source=...) get a run of their
    own.
    """
    from visionthink.stage import check_inputs

    asked = [settings] if benchmark is None else asked_on(settings, names(benchmark) or [], mirrors)
    if len(asked) > 1 and model is not None and settings.run_dir is not None:
        raise ConfigError("--run-dir names one run, and each of several benchmarks gets its own; leave it out")
    for one in asked[1:]:  # what cannot work is refused before the first one takes its time
        check_inputs(_to_evaluate(one, model).config, trains=False)
    runs = []
    for one in asked:
        chosen = _to_evaluate(one, model)
        work_on("evaluate", chosen, is_latest=chosen.config.evaluate.model is None)
        runs.append(str(chosen.folder.path))
    if len(runs) > 1:
        print(f"side by side on one page: visionthink report {shlex.join(runs)}", file=sys.stderr)


def _to_evaluate(settings: Settings, model: Path | None) -> Chosen:
    return choose_evaluated_run(settings) if model is None else choose_judged_run(settings, model)


def register(settings: Settings) -> None:
    """Let the gate decide, publish the model as a version that never changes, and register it."""
    work_on("register", choose_begun_run(settings))


def work_on(stage: Stage, chosen: Chosen, *, is_latest: bool = True) -> None:
    """Run a stage and show what it came to."""
    from visionthink.stage import check_inputs, run_stage, say

    folder, config = chosen
    check_folder(folder.path, os.environ)
    check_inputs(config, trains=stage in ("label", "train"))
    with locked(folder.path):
        is_new = not folder.config_path.exists()
        changed = folder.begin(config)
        # `latest` is the run that was begun last, whichever is worked on.
        if is_latest and (is_new or latest_run(folder.runs_dir) is None):
            publish_as_latest(chosen)
        print(f"run {folder.path}", file=sys.stderr, flush=True)
        if changed:
            say(f"note: from now on {', '.join(changed)}")
        run_stage(stage, config.model_dump_json(), str(folder.path))
        if folder.summary_path.exists():
            _renew_summary(folder, config)
    _show(stage, folder)


def _renew_summary(folder: RunFolder, config: RunConfig) -> None:
    """Let the figures of a run that is done say what a stage made up for."""
    from visionthink.cli.finish import record

    summary = summary_of(folder, total_s=read_seconds(folder.path / "seconds.json"))
    if read_json(folder.summary_path) != summary:
        record(folder, config, summary)
        keep_summary(folder, summary)


def _show(stage: Stage, folder: RunFolder) -> None:
    result = folder.finished(stage)
    if stage == "evaluate":
        from visionthink.cli.table import print_rows

        print_rows(folder)
    else:
        print(json.dumps({"metrics": dict(result.metrics), "facts": dict(result.facts)}, indent=2))
    print(f"in {folder.stage_dir(stage)}", file=sys.stderr)
