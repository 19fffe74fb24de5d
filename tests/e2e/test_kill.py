"""SIGKILL at random moments: nothing is lost, repeated or corrupted."""

import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from tests.e2e.program import SETTINGS, Program, end_group, kill, leftovers, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

STAGES: Final = ("label", "train", "evaluate", "register", "serve")
AT_WORK: Final = {
    "label": "label/shards/00001.json",
    "train": "train/steps.jsonl",
    "evaluate": "evaluate/answers/always_low/test-00000.json",
    "register": "register/seconds.json",
    "serve": "serve/.lock",
}
"""A file that shows that the stage is past its imports and in the middle of its work."""
LONGEST_DELAY_S: Final = {"label": 1.0, "train": 2.5, "evaluate": 2.5, "register": 1.0, "serve": 3.0}
NUM_STEPS: Final = 12


def exists(path: Path) -> Callable[[], bool]:
    return lambda: path.exists() and path.stat().st_size > 0


def logged_steps(home: Path, key: str) -> list[int]:
    """The steps of a metric in MLflow, as often as they were logged."""
    with closing(sqlite3.connect(home / "runs" / "mlflow.db")) as database:
        found = database.execute(
            "SELECT metrics.step FROM metrics JOIN tags ON tags.run_uuid = metrics.run_uuid "
            "WHERE tags.key = 'visionthink.stage' AND tags.value = 'train' AND metrics.key = ? ORDER BY metrics.step",
            [key],
        )
        return [step for (step,) in found]


def runs_by_stage(home: Path) -> dict[str, int]:
    with closing(sqlite3.connect(home / "runs" / "mlflow.db")) as database:
        query = "SELECT value, COUNT(*) FROM tags WHERE key = 'visionthink.stage' GROUP BY value"
        return dict(database.execute(query).fetchall())


def check_same_as(program: Program, undisturbed: Program) -> None:
    for stage in STAGES:
        assert program.result(stage) == undisturbed.result(stage), stage
    want = (undisturbed.latest / "label" / "dataset.parquet").read_bytes()
    assert (program.latest / "label" / "dataset.parquet").read_bytes() == want
    weights = "train/model/model.safetensors"
    assert (program.latest / weights).read_bytes() == (undisturbed.latest / weights).read_bytes()
    steps = [json.loads(line)["step"] for line in (program.latest / "train" / "steps.jsonl").read_text().splitlines()]
    assert steps == list(range(1, NUM_STEPS + 1))
    assert logged_steps(program.home, "reward/mean") == list(range(1, NUM_STEPS + 1))
    assert runs_by_stage(program.home) == dict.fromkeys((*STAGES, "pipeline"), 1)
    assert leftovers(program.latest.resolve()) == []


def test_every_stage_killed_at_a_random_moment_ends_in_the_same_results(
    program: Program, undisturbed: Program, record_property: Callable[[str, object], None]
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    record_property("seed", seed)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for stage in STAGES:
        process = program.start("run", "--direct")
        try:
            # `latest` is not there yet when the first run starts.
            wait_for(exists(program.latest / AT_WORK[stage]), process, what=f"{stage} at work")
            time.sleep(rng.uniform(0, LONGEST_DELAY_S[stage]))
        finally:
            kill(process)
    ended = program.run("run", "--direct")
    assert ended.code == 0, ended.stderr
    assert "going on with run" in ended.stderr
    assert len(list((program.home / "runs").glob("2*"))) == 1
    check_same_as(program, undisturbed)
    summary = json.loads((program.latest / "summary.json").read_text())
    assert summary["seconds"]["total"] > summary["seconds"]["label"] > 0


def test_pipeline_whose_command_is_killed_goes_on_where_it_was(program: Program, undisturbed: Program) -> None:
    process = program.start("run")
    try:
        wait_for(exists(program.latest / AT_WORK["train"]), process, what="train at work")
        # The command alone: its stage must notice by itself and not stand in the way of the next try.
        os.kill(process.pid, signal.SIGKILL)
        # The stage's process holds the pipes, so this also waits for its end.
        process.communicate(timeout=60)
        ended = program.run("run")
    finally:
        end_group(process)
    assert ended.code == 0, ended.stderr
    assert "going on with run" in ended.stderr
    check_same_as(program, undisturbed)


def test_pipeline_whose_stage_is_killed_says_so_and_goes_on(program: Program) -> None:
    process = program.start("run", "--set=train.num_steps=500")
    try:
        steps = program.latest / AT_WORK["train"]
        wait_for(exists(steps), process, what="train at work")
        os.kill(int((program.latest / "train" / ".lock").read_text()), signal.SIGKILL)
        _, stderr = process.communicate(timeout=60)
    finally:
        end_group(process)
    assert process.returncode == 1, stderr
    assert "error: stage train ended without saying why: it was killed" in stderr
    assert not (program.latest / "summary.json").exists()


def test_second_command_on_a_run_is_refused(program: Program) -> None:
    process = program.start("run", "--direct", "--run-id", "mine")
    try:
        wait_for(exists(program.home / "runs" / "mine" / AT_WORK["label"]), process, what="label at work")
        ended = program.run("run", "--direct", "--run-id", "mine")
    finally:
        kill(process)
    assert ended.code == 2
    assert ended.stderr == (
        f"error: process {process.pid} is working on {program.home}/runs/mine; wait for it or end it, or choose "
        "another run with --fresh, --run-id or --run-dir\n"
    )


assert SETTINGS["train.num_steps"] == NUM_STEPS
