"""Runs one stage of one run: the one door for the command line and for pipeline components.

Rule: what a stage needs around it is the same wherever it runs, and stands here: its lock, its stopwatch, its run in
the tracker, the word on disk that it is done or why it is not. A stage that is done is not run again.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Final, TypedDict, cast

from visionthink.config import ModelConfig, RunConfig, ViewConfig, parse_config
from visionthink.engines import LOCAL, Engine, open_engine
from visionthink.engines.endpoint import parse_place, split_place
from visionthink.engines.local_pool import begin_to_import
from visionthink.episodes.prompting import prompting_of
from visionthink.errors import ConfigError, StorageError
from visionthink.judges import Judge, JudgeTally
from visionthink.judges.settings import judge_of_settings
from visionthink.metrics import JUDGE_COUNTS, STAGE_S
from visionthink.model.bundled import SHIPPED, base_folder, check_model
from visionthink.model.card import CARD_NAME
from visionthink.network import check_reachable
from visionthink.runs import STAGES, RunFolder, Stage, StageResult, StageTask, Stopwatch, locked
from visionthink.runs.failure import failure_of, keep_failure
from visionthink.samples import check_both_labels, check_data, check_sources
from visionthink.tracking import RunSpec, Tracking, flatten, open_tracking, tracked

_FUNCTIONS: Final[Mapping[Stage, str]] = {
    "label": "visionthink.labeling.stage:label_stage",
    "evaluate": "visionthink.evaluation.stage:evaluate_stage",
    "register": "visionthink.registration.stage:register_stage",
    "serve": "visionthink.serving.stage:serve_stage",
}
"""Imported when they are run: each stage loads what it needs and no more."""
_TRAINERS: Final = {
    "local": "visionthink.training.local.stage:train_stage",
    "verl": "visionthink.training.verl.stage:train_stage",
}
"""By `train.backend`."""
_RUNS_A_MODEL: Final = frozenset({"label", "train", "evaluate", "serve"})
_WAIT_S: Final = 15.0
"""A try whose command was killed ends itself within a few seconds; the next one waits for that."""


class StageOutput(TypedDict):
    """What a pipeline component makes its artifacts of; paths are absolute."""

    metrics: dict[str, float]
    artifacts: dict[str, str]
    confusion: list[list[int]] | None
    html: str | None


def run_stage(name: str, config_json: str, run_dir: str) -> StageOutput:
    """Run the stage `name` of the run in `run_dir` with the settings `config_json`; return at once if it is done.

    Raises:
        VisionThinkError: the stage failed; its folder's error.json says why.
    """
    if name not in STAGES:
        raise ConfigError(f"there is no stage {name!r}; choose one of {', '.join(STAGES)}")
    stage = name
    config, folder = parse_config(config_json), RunFolder(Path(run_dir))
    with locked(folder.stage_dir(stage), wait_s=_WAIT_S):
        try:
            result = folder.result(stage)
            if result is None or result.is_owed:
                result = _run(stage, config, folder)
            else:
                tracking_of(config, folder, os.environ).tracker.catch_up(folder.run_id)
        except BaseException as error:
            with contextlib.suppress(StorageError):  # when even that cannot be written, the message went to stderr
                keep_failure(folder.error_path(stage), failure_of(error))
            raise
    return _output(result)


def _run(stage: Stage, config: RunConfig, folder: RunFolder) -> StageResult:
    if changed := folder.begin(config):
        say(f"note: from now on {', '.join(changed)}")
    check_settings(config)
    folder.sweep(stage)
    if stage in _RUNS_A_MODEL:
        if stage != "serve" and config.model.processes > 1 and LOCAL in (config.model.engine, config.evaluate.engine):
            begin_to_import()
        set_up_torch(config.model.threads)
    spec = RunSpec(
        run_id=folder.run_id,
        stage=stage,
        tags=_tags(stage, config),
        # A model that is judged in a run of its own needs no other stage.
        closes_pipeline=stage == STAGES[-1] or (stage == "evaluate" and config.evaluate.model is not None),
    )
    tracking = tracking_of(config, folder, os.environ)
    with Stopwatch(folder.seconds_path(stage)) as stopwatch, tracked(tracking.tracker, spec) as run:
        run.log_params(flatten(config.model_dump(mode="json")))
        tally = JudgeTally()
        task = StageTask(
            stage=stage,
            config=config,
            folder=folder,
            spec=spec,
            run=run,
            tracker=tracking.tracker,
            registry=tracking.registry,
            say=say,
            clock=time.perf_counter,
            open_judge=lambda: judge_of(config, os.environ, folder=folder, tally=tally),
            open_engine=lambda uri, folder: engine_of(uri, folder, config.model, os.environ),
        )
        try:
            result = _function(stage, config)(task)
        finally:
            if not tally.is_empty:
                run.log_metrics(_judge_metrics(tally, stage))
        run.log_metrics({STAGE_S.key(stage=stage): stopwatch.wall_s})
    folder.keep_result(stage, result)
    return result


def _tags(stage: Stage, config: RunConfig) -> dict[str, str]:
    """What runs are searched for and grouped by in the tracker."""
    tags = {"visionthink.config": config.digest()}
    if stage != "evaluate":
        return tags
    from visionthink.evaluation.benchmarks import benchmark_of  # no other stage needs what it loads

    return tags | {"visionthink.benchmark": benchmark_of(config).name}


def check_settings(config: RunConfig) -> None:
    """Refuse names that nothing has, before any work begins.

    Raises:
        UserError: a family or protocol is unknown.
    """
    check_data(config.data)
    prompting_of(config)


def check_inputs(config: RunConfig, *, trains: bool) -> None:
    """Find out before a run is begun what would end it: settings, models and data sets that cannot be used.

    Raises:
        UserError: naming what, and what to do.
    """
    check_settings(config)
    base = base_folder(config.model.base)
    if config.model.base not in SHIPPED and not (base / CARD_NAME).is_file() and config.view == ViewConfig():
        say(
            f"note: no view of a picture will have more than {config.view.max_pixels} pixels, which fits the embedded "
            f"model and not {base}; --preset paper-7b-4x8 has the paper's settings"
        )
    if config.evaluate.model is not None:
        check_model(Path(config.evaluate.model))
    _check_contenders(config, base)
    for uri in (config.model.engine, config.evaluate.engine, config.judge.uri):
        _check_servers(uri)
    if trains:
        check_both_labels(config)
    for line in check_sources(config):
        say(line)


def _check_contenders(config: RunConfig, base: Path) -> None:
    """Refuse to drop tokens before layers that a model does not have; a trained one has as many as its base.

    Raises:
        ConfigError: naming method and layer.
    """
    if config.evaluate.contenders:
        from visionthink.evaluation.contender import check_depths, usual_contenders  # only who is evaluated so needs it

        check_depths(usual_contenders(base, Path(config.evaluate.model or base), config))


def _check_servers(uri: str) -> None:
    """Refuse servers that no client could be made for.

    Raises:
        ConfigError: the address is none, or its proxy cannot be used.
    """
    _, is_named, place = uri.partition("openai:")
    if is_named:
        parse_place(place)
        for part in split_place(place):
            check_reachable(part)


def judge_of(
    config: RunConfig, env: Mapping[str, str], *, folder: RunFolder | None = None, tally: JudgeTally | None = None
) -> Judge:
    """The judge as the settings say, with its key from the environment; verdicts are remembered in the run's `folder`.

    What it does is added to `tally`.
    """
    return judge_of_settings(
        config.judge,
        api_key=env.get("OPENAI_API_KEY"),
        calls_path=None if folder is None else folder.judge_calls_path,
        run_id="" if folder is None else folder.run_id,
        tally=tally,
    )


def _judge_metrics(tally: JudgeTally, stage: Stage) -> dict[str, float]:
    """What the judge of a stage did, under its registered names."""
    return {JUDGE_COUNTS[name].key(stage=stage): float(count) for name, count in asdict(tally).items()}


def engine_of(uri: str, folder: Path, settings: ModelConfig, env: Mapping[str, str]) -> Engine:
    """The engine that `uri` names: a server, with its key from the environment, or the model in `folder`, run here."""
    return open_engine(
        f"transformers:{folder}" if uri == LOCAL else uri,
        batch_size=settings.batch_size,
        processes=settings.processes,
        api_key=env.get("OPENAI_API_KEY"),
        timeout_s=settings.timeout_s,
        max_connections=settings.max_connections,
    )


def serving_engine(uri: str, folder: Path, config: RunConfig, env: Mapping[str, str]) -> Engine:
    """The same for questions that somebody waits for: few tries, and a connection for each that is in flight."""
    return open_engine(
        f"transformers:{folder}" if uri == LOCAL else uri,
        batch_size=config.model.batch_size,
        api_key=env.get("OPENAI_API_KEY"),
        timeout_s=config.serve.timeout_s,
        max_connections=config.serve.max_in_flight,
        max_retries=config.serve.engine_retries,
    )


def tracking_of(config: RunConfig, folder: RunFolder, env: Mapping[str, str]) -> Tracking:
    """Tracker and registry as the settings and the environment say; the settings win."""
    settings = config.tracking
    return open_tracking(
        "mlflow",
        env=env,
        runs_dir=folder.runs_dir,
        missed_dir=folder.path / "missed",
        experiment=settings.experiment,
        uri=settings.uri,
        required=settings.required,
        timeout_s=settings.timeout_s,
        say=say,
    )


def say(line: str) -> None:
    """Tell the user a line; standard output is left to results."""
    print(line, file=sys.stderr, flush=True)


def _function(stage: Stage, config: RunConfig) -> Callable[[StageTask], StageResult]:
    place = _TRAINERS[config.train.backend] if stage == "train" else _FUNCTIONS[stage]
    module, _, function = place.partition(":")
    return cast("Callable[[StageTask], StageResult]", getattr(import_module(module), function))


def set_up_torch(num_threads: int) -> None:
    """Let models run on so many threads, and load and save without a word.

    Call it before anything loads torch: OpenMP reads its settings when it is loaded.
    """
    # By default a thread of OpenMP spins for milliseconds while it waits for the others. Where another process has the
    # core that the others need, they wait for each other's time slices at each of thousands of barriers a second, and
    # answers came ten times more slowly than on one thread. A thread that sleeps at once costs a tenth on a quiet
    # machine; one that spins this often first costs neither (docs/adr/0007). Who sets OpenMP's own variable is obeyed.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    import torch
    from transformers.utils import logging

    torch.set_num_threads(num_threads)
    # Bars that redraw themselves are noise in a log file; stages tell lines.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def _output(result: StageResult) -> StageOutput:
    return StageOutput(
        metrics=dict(result.metrics),
        artifacts={name: str(path) for name, path in result.artifacts.items()},
        confusion=None if result.confusion is None else [list(row) for row in result.confusion],
        html=None if result.html is None else str(result.html),
    )
