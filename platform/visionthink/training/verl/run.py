"""A training by veRL from beginning to end: restore, train in a process of its own, merge.

Rule: started again, it goes on. What is on disk or in the store says how far it came. A training that failed is a
failed run in the tracker, and says veRL's own reason.
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
from visionthink.tracking import Tracker
from visionthink.training.verl.checkpoint import restore, saved_metrics, step_folder
from visionthink.training.verl.environment import environment
from visionthink.training.verl.overrides import PACKAGE, overrides
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.record import OnStep, stage_run, told_to, try_run
from visionthink.training.verl.steps import read_steps

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
    tracker: Tracker | None = None,
    say: Callable[[str], None] | None = None,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
) -> Path:
    """Carry out `plan`; the folder of the trained model.

    `python` is the interpreter of the environment that holds veRL. With `plan.tracking_uri` the steps are told to the
    run of the stage `train` in that tracker. A try that goes on has a run of its own below it: there, or in `tracker`,
    where whoever calls has opened the stage's run.

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
    with stage_run(plan, config, env, tell) as own:
        store = None if plan.checkpoint_store is None else open_store(plan.checkpoint_store)
        first = restore(plan.checkpoints, store, plan.run_id, say=tell)
        stage_tracker, run = own or (tracker, None)
        if first:
            tell(f"train: going on behind step {first} of {config.train.num_steps}")
            if _was_cut_off(plan, first):
                tell(f"train: step {first} was saved and not told; what is known of it is told now")
                told_to(run, None, then=on_step)(first, saved_metrics(step_folder(plan.checkpoints, first)))
        if first < config.train.num_steps:
            with try_run(stage_tracker, plan, config, first) as going_on:
                _run_verl(plan, config, first, told_to(run, going_on, then=on_step), python, env)
        return merge(plan, config)


def _was_cut_off(plan: VerlPlan, step: int) -> bool:
    """Whether a try on this disk saved `step` and ended before it told of it."""
    tries = [path.read_text(encoding="utf-8") for path in plan.output.glob("steps-*.jsonl")]
    return bool(tries) and all(one.number != step for told in tries for one in read_steps(told))


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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
