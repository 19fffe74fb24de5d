from pathlib import Path

import pytest
from tests.fakes import training_backend as contract

from visionthink.cluster.training import JobState, LocalProcessBackend
from visionthink.errors import DataError

ENV = {"PATH": "/usr/bin:/bin"}
WAIT_S = 60.0


@pytest.fixture
def backend(tmp_path: Path) -> LocalProcessBackend:
    return LocalProcessBackend(tmp_path / "jobs", env=ENV, grace_s=5)


def test_success(backend: LocalProcessBackend) -> None:
    contract.check_success(backend, "run", WAIT_S)


def test_failure(backend: LocalProcessBackend) -> None:
    contract.check_failure(backend, "run", WAIT_S)


def test_adoption(backend: LocalProcessBackend, tmp_path: Path) -> None:
    go = tmp_path / "go"
    contract.check_adoption(backend, "run", WAIT_S, go.touch, f"until [ -e {go} ]; do sleep 0.1; done")


def test_cancel(backend: LocalProcessBackend) -> None:
    contract.check_cancel(backend, "run")


def test_job_that_failed_is_made_anew(backend: LocalProcessBackend, tmp_path: Path) -> None:
    job = contract.shell_job("run", f"[ -e {tmp_path}/kept ] && exit 0; touch {tmp_path}/kept; exit 200")
    states = [backend.wait(backend.submit(job), timeout_s=WAIT_S, on_change=lambda _: None).state for _ in range(2)]
    assert states == [JobState.FAILED, JobState.SUCCEEDED]


def test_job_is_followed_by_another_process_than_its_maker(backend: LocalProcessBackend, tmp_path: Path) -> None:
    name = backend.submit(contract.shell_job("run", "exit 4"))
    other = LocalProcessBackend(tmp_path / "jobs", env=ENV)
    report = other.wait(name, timeout_s=WAIT_S, on_change=lambda _: None)
    assert (report.state, report.reason) == (JobState.FAILED, "it ended with exit code 4")


def test_deadline_ends_a_job_that_goes_on(tmp_path: Path) -> None:
    backend = LocalProcessBackend(tmp_path, env=ENV, grace_s=5, deadline_s=0.5)
    name = backend.submit(contract.shell_job("run", "exec sleep 1000"))
    report = backend.wait(name, timeout_s=WAIT_S, on_change=lambda _: None)
    assert (report.state, report.reason) == (JobState.FAILED, "it did not end in 0.5 s")


def test_keeper_that_was_killed_is_a_failed_job(backend: LocalProcessBackend, tmp_path: Path) -> None:
    name = backend.submit(contract.shell_job("run", "kill -9 0"))  # its whole session
    report = backend.wait(name, timeout_s=WAIT_S, on_change=lambda _: None)
    assert (report.state, report.reason) == (JobState.FAILED, "its process is gone")


def test_unknown_job_is_refused_by_name(backend: LocalProcessBackend) -> None:
    with pytest.raises(DataError, match="no job train-x"):
        backend.describe("train-x")
