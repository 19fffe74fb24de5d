"""A training by veRL from beginning to end: restore, train in a process of its own, merge.

Rule: started again, it goes on. What is on disk or in the store says how far it came; each step is told to the tracker
once. A training that failed is a failed run there, with veRL's own reason.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig
from visionthink.errors import BackendError, ConfigError
from visionthink.runs.failure import read_failure
from visionthink.storage import atomic_write, is_complete, open_store
from visionthink.tracking import RunSpec, TrackedRun, flatten, open_tracking, tracked
from visionthink.training.verl.checkpoint import restore
from visionthink.training.verl.environment import environment
from visionthink.training.verl.overrides import PACKAGE, overrides
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.steps import read_steps

OnStep = Callable[[int, Mapping[str, float]], None]
"""Is told each step, counted from 1, and its numbers by registered name."""

_POLL_S: Final = 0.5
_END_S: Final = 30.0
"""For veRL and Ray to end when they are told to."""
_LOG_TAIL_BYTES: Final = 2000


class TrainingError(BackendError):
    """veRL did not come to its end."""


def train(
    plan: VerlPlan,
    config: RunConfig,
    *,
    on_step: OnStep | None = None,
    say: Callable[[str], None] | None = None,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
) -> Path:
    """Carry out `plan`; the folder of the trained model.

    `python` is the interpreter of the environment that holds veRL. With `plan.tracking_uri` the steps are also told to
    the tracker, in the run of the stage `train`.

    Raises:
        UserError: a setting is refused.
        TrainingError: veRL ended without having taken all steps; the same call goes on from the last checkpoint.
        StorageError: a checkpoint cannot be fetched, or the model not be written.
    """
    from visionthink.training.verl.merge import merge

    env, tell = dict(os.environ if env is None else env), say or _say
    if is_complete(plan.model):
        return plan.model
    overrides(config, plan)  # refuses what veRL cannot do before anything is begun
    plan.output.mkdir(parents=True, exist_ok=True)
    with _tracked(plan, config, env, tell) as run:
        store = None if plan.checkpoint_store is None else open_store(plan.checkpoint_store)
        first = restore(plan.checkpoints, store, plan.run_id, say=tell)
        if first:
            tell(f"train: going on behind step {first} of {config.train.num_steps}")
        if first < config.train.num_steps:
            _run_verl(plan, config, first, _all(on_step, run), python, env)
        return merge(plan, config)


def _run_verl(
    plan: VerlPlan, config: RunConfig, first: int, on_step: OnStep, python: str, env: Mapping[str, str]
) -> None:
    steps, log, reason = (plan.output / name for name in (f"steps-{first}.jsonl", "verl.log", "error.json"))
    steps.unlink(missing_ok=True)
    reason.unlink(missing_ok=True)
    places = {"plan.json": plan.to_json(), "config.json": config.model_dump_json(indent=2)}
    for name, text in places.items():
        atomic_write(plan.output / name, text.encode())
    command = [python, "-m", f"{PACKAGE}.driver", *(str(plan.output / name) for name in places)]
    with log.open("ab") as file, _started(command, file.fileno(), environment(plan, config, env, steps=steps)) as verl:
        code = _follow(verl, steps, on_step)
    if code:
        raise _failed(code, reason, log)


@contextlib.contextmanager
def _started(command: list[str], log: int, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """VeRL at work; nothing of it is left when the block ends."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()
        process.wait()


def _follow(verl: subprocess.Popen[bytes], steps: Path, on_step: OnStep) -> int:
    """Tell each step as it is taken, until the process ends; its exit code."""
    num_told = 0
    while True:
        try:
            code: int | None = verl.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            code = None
        # Read after the process was looked at, so that what it wrote last is told too.
        taken = list(read_steps(steps.read_text(encoding="utf-8"))) if steps.exists() else []
        for step in taken[num_told:]:
            on_step(step.number, step.metrics)
        num_told = len(taken)
        if code is not None:
            return code


def _failed(code: int, reason: Path, log: Path) -> ConfigError | TrainingError:
    failure = read_failure(reason)
    told = failure.message if failure else log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
    if failure and failure.exit_code == ConfigError.exit_code:
        return ConfigError(told)
    return TrainingError(
        f"veRL ended with exit code {code}: {told}. All that it said is in {log}; the same call goes on from the last "
        "checkpoint",
        retryable=True,
    )


@contextlib.contextmanager
def _tracked(
    plan: VerlPlan, config: RunConfig, env: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[TrackedRun | None]:
    """The run of the stage in the tracker, which ends as the block does; None where the plan names none."""
    if plan.tracking_uri is None:
        yield None
        return
    tracking = open_tracking(
        "mlflow",
        env=env,
        runs_dir=plan.output,
        experiment=config.tracking.experiment,
        uri=plan.tracking_uri,
        required=config.tracking.required,
        timeout_s=config.tracking.timeout_s,
        say=say,
    )
    with tracked(tracking.tracker, RunSpec(run_id=plan.run_id, stage="train")) as run:
        run.log_params(flatten(config.model_dump(mode="json")) | flatten({"verl": dict(plan.overrides)}))
        yield run


def _all(on_step: OnStep | None, run: TrackedRun | None) -> OnStep:
    def tell(step: int, metrics: Mapping[str, float]) -> None:
        if run is not None:
            run.log_metrics(metrics, step=step)
        if on_step is not None:
            on_step(step, metrics)

    return tell


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
