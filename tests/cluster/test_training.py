"""PyTorchJobs on a real cluster: the operator takes what the builder makes, and every ending is the right condition.

The pods run small shell scripts in the place of a training: `sh` reads past the node's own arguments to the program.
"""

import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from tests.cluster.conftest import Kube, until
from tests.cluster.training_place import WAIT_S, Place, training_place
from tests.fakes import training_backend as contract

from visionthink.cluster.training import JobReport, JobState, TrainingJob
from visionthink.cluster.training.pytorch_job_client import PyTorchJobBackend
from visionthink.errors import ClusterError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
_PROGRAM_ONLY: Final = ("sh", "-c", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"', "node")
_WORKERS_WAIT: Final = '[ "$RANK" = 0 ] || exec sleep 1000; '


@pytest.fixture(scope="module")
def place(kube: Kube) -> Iterator[Place]:
    with training_place(kube) as made:
        yield made


def backend_of(place: Place, *, namespace: str | None = None, **training: Any) -> PyTorchJobBackend:
    settings = {
        "verl.cpus_per_node": 1,
        "cluster.training.command": _PROGRAM_ONLY,
        "cluster.training.memory": "64Mi",
        "cluster.training.shared_memory": "16Mi",
        "cluster.training.grace_s": 5,
        **{f"cluster.training.{name}": value for name, value in training.items()},
    }
    return place.backend(settings, namespace=namespace)


@pytest.fixture
def run_id() -> str:
    return f"r{uuid.uuid4().hex[:8]}"


def script(text: str) -> str:
    return _WORKERS_WAIT + text


def shell_job(run_id: str, text: str) -> TrainingJob:
    return contract.shell_job(run_id, script(text))


def waiting(place: Place, run_id: str) -> str:
    return f"touch {place.folder}/{run_id}.here; until [ -e {place.folder}/{run_id}.go ]; do sleep 0.2; done"


def test_success_of_the_master_is_the_jobs_and_frees_the_workers(place: Place, run_id: str) -> None:
    backend = backend_of(place)
    name = backend.submit(shell_job(run_id, "echo one; echo two"))
    seen: list[JobReport] = []
    assert backend.wait(name, timeout_s=WAIT_S, on_change=seen.append).state is JobState.SUCCEEDED
    assert contract.own_lines(backend.logs(name)) == ["one", "two"]
    until(lambda: f"{name}-worker-0" not in place.pods(name), what="the worker is gone", timeout_s=60)
    backend.cancel(name)


def test_program_that_keeps_failing_fails_the_job(place: Place, run_id: str) -> None:
    backend = backend_of(place, backoff_limit=0)
    name = backend.submit(shell_job(run_id, "echo why; exit 200"))
    assert backend.wait(name, timeout_s=WAIT_S, on_change=lambda _: None).state is JobState.FAILED
    backend.cancel(name)


def test_permanent_exit_code_fails_the_job_at_once_where_codes_count(place: Place, run_id: str) -> None:
    backend = backend_of(place, restart_policy="ExitCode", backoff_limit=5)
    name = backend.submit(shell_job(run_id, f"echo try >> {place.folder}/{run_id}.tries; exit 2"))
    assert backend.wait(name, timeout_s=WAIT_S, on_change=lambda _: None).state is JobState.FAILED
    assert (place.folder / f"{run_id}.tries").read_text() == "try\n"
    backend.cancel(name)


def test_adoption_and_following(place: Place, run_id: str) -> None:
    go: Callable[[], None] = (place.folder / f"{run_id}.go").touch
    contract.check_adoption(backend_of(place), run_id, WAIT_S, go, script(waiting(place, run_id)))


def test_cancel(place: Place, run_id: str) -> None:
    contract.check_cancel(backend_of(place), run_id)


@pytest.mark.parametrize("role", ["worker-0", "master-0"])
def test_deleted_pod_is_made_anew_and_the_job_goes_on_from_what_it_kept(place: Place, run_id: str, role: str) -> None:
    backend, told = backend_of(place), place.folder / f"{run_id}.told"
    name = backend.submit(shell_job(run_id, f"echo try >> {told}; {waiting(place, run_id)}; echo done >> {told}"))
    until((place.folder / f"{run_id}.here").exists, what="the program", timeout_s=WAIT_S)
    until(lambda: len(place.pods(name)) == 2, what="both pods", timeout_s=WAIT_S)
    place.delete_pod(f"{name}-{role}")
    until(lambda: f"{name}-{role}" in place.pods(name), what="the new pod", timeout_s=WAIT_S)
    (place.folder / f"{run_id}.go").touch()
    assert backend.wait(name, timeout_s=WAIT_S, on_change=lambda _: None).state is JobState.SUCCEEDED
    tries = 2 if role == "master-0" else 1
    assert told.read_text().split() == [*["try"] * tries, "done"]
    backend.cancel(name)


def test_queued_job_waits_suspended_until_it_is_let_in_and_when_it_is_sent_back(place: Place, run_id: str) -> None:
    backend = backend_of(place, queue="gpus")
    name = backend.submit(shell_job(run_id, f"{waiting(place, run_id)}; echo done"))
    assert backend.describe(name).state is JobState.SUSPENDED and place.pods(name) == {}
    place.suspend(name, False)
    until((place.folder / f"{run_id}.here").exists, what="the program", timeout_s=WAIT_S)
    place.suspend(name, True)
    until(lambda: backend.describe(name).state is JobState.SUSPENDED, what="suspended", timeout_s=60)
    until(lambda: place.pods(name) == {}, what="no pods", timeout_s=60)
    (place.folder / f"{run_id}.go").touch()
    place.suspend(name, False)
    assert backend.wait(name, timeout_s=WAIT_S, on_change=lambda _: None).state is JobState.SUCCEEDED
    backend.cancel(name)


def test_image_that_cannot_be_had_is_told_and_ends_at_the_deadline(place: Place, run_id: str) -> None:
    backend = backend_of(place, image="localhost/nobody:0", active_deadline_s=20)
    name = backend.submit(shell_job(run_id, "true"))
    seen: list[JobReport] = []
    report = backend.wait(name, timeout_s=WAIT_S, on_change=seen.append)
    assert report.state is JobState.FAILED and "longer than specified deadline" in report.reason
    assert any("localhost/nobody:0" in trouble for one in seen for trouble in one.trouble)
    backend.cancel(name)


def test_job_that_does_not_end_fails_at_its_deadline(place: Place, run_id: str) -> None:
    backend = backend_of(place, active_deadline_s=10)
    name = backend.submit(shell_job(run_id, "exec sleep 1000"))
    report = backend.wait(name, timeout_s=WAIT_S, on_change=lambda _: None)
    assert report.state is JobState.FAILED and "longer than specified deadline" in report.reason
    until(lambda: place.pods(name) == {}, what="no pods", timeout_s=60)
    backend.cancel(name)


def test_job_of_a_namespace_that_is_not_there_is_refused_with_the_servers_words(place: Place, run_id: str) -> None:
    with pytest.raises(ClusterError, match=r"namespaces.*nowhere.*not found"):
        backend_of(place, namespace="nowhere").submit(shell_job(run_id, "true"))
