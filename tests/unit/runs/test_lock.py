import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from visionthink.errors import StorageError, UserError
from visionthink.runs import locked

HOLD = """
import sys, time
from pathlib import Path
from visionthink.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_locked_refuses_a_second_process_and_names_the_first(tmp_path: Path) -> None:
    want = f"process {os.getpid()} is working on {tmp_path}"
    with locked(tmp_path), pytest.raises(UserError, match=want), locked(tmp_path):
        pass


def test_locked_lets_the_next_one_in(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_locked_waits_as_long_as_it_may(tmp_path: Path) -> None:
    now_s = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now_s[0] += seconds

    waiting = locked(tmp_path, wait_s=1.0, clock=lambda: now_s[0], sleep=sleep)
    with locked(tmp_path), pytest.raises(UserError), waiting:
        pass
    assert 0.9 < sum(slept) < 1.5


def test_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {process.pid} "), locked(tmp_path):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL], ids=errno.errorcode.get)
def test_file_system_without_locks_is_told_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", no_locks)
    want = r"could not lock .*\.lock: .*keeps no locks\. Put the runs on a local disk"
    with pytest.raises(StorageError, match=want), locked(tmp_path):
        pytest.fail("the block ran")


def test_lock_file_has_the_usual_permissions(tmp_path: Path) -> None:
    with locked(tmp_path):
        (tmp_path / "usual").touch()
        assert (tmp_path / ".lock").stat().st_mode == (tmp_path / "usual").stat().st_mode
