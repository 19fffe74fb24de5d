from dataclasses import dataclass
from pathlib import Path

import pytest

from visionthink.cluster.training import LocalProcessBackend, TrainingJob
from visionthink.errors import ClusterError, DataError
from visionthink.pipelines.cluster.ending import account, end_all, end_job
from visionthink.runs import RunFolder
from visionthink.runs.failure import Failure, keep_failure


@dataclass
class Status:
    state: str = "FAILED"
    error_message: str | None = "Task run failed."


def fails(retryable: bool) -> str:
    raise ClusterError("no answer" if retryable else "no such operator", retryable=retryable)


def test_part_that_cannot_be_ended_does_not_keep_the_next_one_from_it() -> None:
    lines, failed = end_all([lambda: fails(True), lambda: fails(False), lambda: "done"])
    assert set(lines) == {"no answer", "no such operator", "done"}
    assert failed == ["no answer"], "an operator that is not there has nothing that runs"


def test_job_that_runs_is_removed_and_one_that_is_not_there_is_fine(tmp_path: Path) -> None:
    backend = LocalProcessBackend(tmp_path, env={"PATH": "/usr/bin:/bin"}, grace_s=5)
    name = backend.submit(TrainingJob(run_id="run", program=("/bin/sh", "-c", "exec sleep 100")))
    assert end_job(backend, "run") == f"removed: job {name} is running"
    with pytest.raises(DataError):
        backend.describe(name)
    assert end_job(backend, "run") == "no training is left"


def test_account_tells_the_state_and_why_stages_failed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    keep_failure(folder.error_path("train"), Failure("ConfigError", "<less> memory", 2))
    lines = account(folder, Status(), ["no training is left"])
    assert lines == [
        "run run: FAILED",
        "Task run failed.",
        "stage train failed: <less> memory",
        "no training is left",
    ]
    assert account(folder, Status("SUCCEEDED", None), [])[0] == "run run: SUCCEEDED"
