"""What every training back end must do, whatever it runs on; each test takes a back end that runs programs of `sh`."""

import threading
from collections.abc import Callable, Iterable

import pytest

from visionthink.cluster.training import JobReport, JobState, TrainingBackend, TrainingJob
from visionthink.errors import ClusterError, ConfigError, DataError


def shell_job(run_id: str, script: str) -> TrainingJob:
    return TrainingJob(run_id=run_id, program=("sh", "-c", script))


def check_success(backend: TrainingBackend, run_id: str, timeout_s: float) -> None:
    name = backend.submit(shell_job(run_id, "echo one; echo two"))
    seen: list[JobReport] = []
    assert backend.wait(name, timeout_s=timeout_s, on_change=seen.append).state is JobState.SUCCEEDED
    assert seen[-1].state is JobState.SUCCEEDED and len(seen) == len(set(seen))
    assert own_lines(backend.logs(name)) == ["one", "two"]


def check_failure(backend: TrainingBackend, run_id: str, timeout_s: float) -> None:
    name = backend.submit(shell_job(run_id, "echo why; exit 3"))
    report = backend.wait(name, timeout_s=timeout_s, on_change=lambda _: None)
    assert report.state is JobState.FAILED and report.reason
    assert "why" in own_lines(backend.logs(name))


def check_adoption(backend: TrainingBackend, run_id: str, timeout_s: float, go: Callable[[], None], wait: str) -> None:
    """`wait` is a script that ends once `go` was called."""
    job = shell_job(run_id, f"{wait}; echo done")
    name = backend.submit(job)
    assert backend.submit(job) == name
    with pytest.raises(ConfigError, match=name):
        backend.submit(shell_job(run_id, "echo else"))
    lines: list[str] = []
    follower = threading.Thread(target=lambda: lines.extend(own_lines(backend.logs(name))))
    follower.start()
    go()
    assert backend.wait(name, timeout_s=timeout_s, on_change=lambda _: None).state is JobState.SUCCEEDED
    follower.join(timeout_s)
    assert lines == ["done"]


def check_cancel(backend: TrainingBackend, run_id: str) -> None:
    name = backend.submit(shell_job(run_id, "exec sleep 1000"))
    with pytest.raises(ClusterError, match=name):
        backend.wait(name, timeout_s=0.5, on_change=lambda _: None)
    backend.cancel(name)
    with pytest.raises(DataError, match=name):
        backend.describe(name)
    backend.cancel(name)


def own_lines(lines: Iterable[str]) -> list[str]:
    """Without what a place says itself."""
    return [line for line in lines if line in ("one", "two", "why", "done", "else")]
