import os
import subprocess
import sys

import pytest

from visionthink.pipelines.parent import PARENT_VARIABLE, end_with_parent, waiter

CHILD = """
import os, select, sys
if sys.argv[1] == "without":
    del os.pidfd_open
elif sys.argv[1] == "forbidden":
    def forbidden(pid):
        raise PermissionError(1, "Operation not permitted")
    os.pidfd_open = forbidden
from visionthink.pipelines.parent import end_with_parent
print(end_with_parent(os.environ), flush=True)
select.select([], [], [], 60)
"""


@pytest.mark.parametrize("system", ["as it is", "without", "forbidden"])
def test_step_ends_with_the_process_that_runs_the_pipeline(system: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as parent:
        env = {**os.environ, PARENT_VARIABLE: str(parent.pid)}
        child = subprocess.Popen([sys.executable, "-c", CHILD, system], env=env, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "True\n"
        assert child.poll() is None
        parent.kill()
        parent.wait(timeout=10)
        assert child.wait(timeout=20) == 1
        child.stdout.close()


def test_step_without_a_local_parent_goes_its_own_way() -> None:
    assert end_with_parent({}) is False and end_with_parent({PARENT_VARIABLE: ""}) is False


@pytest.mark.parametrize("has_call", [True, False])
def test_waiting_for_a_process_that_has_ended_takes_no_time(has_call: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_call:
        monkeypatch.delattr(os, "pidfd_open")
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait(timeout=20)
    waiter(done.pid)()


def test_process_of_somebody_else_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([PermissionError(), ProcessLookupError()])

    def kill(pid: int, number: int) -> None:
        raise next(answers)

    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(os, "kill", kill)
    waiter(1)()
    assert list(answers) == []
