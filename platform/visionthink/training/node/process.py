"""Child processes of a node: started in sessions of their own, and none left when the node ends.

Rule: what a child leaves behind is ours to end. Ray starts a dozen processes, some of which outlive the one that
started them; this process adopts such orphans, so that its descendants are all there is, wherever they were started.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Final

import psutil

_PR_SET_CHILD_SUBREAPER: Final = 36
_END_S: Final = 5.0


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends. As a container's first process one is already."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a child whose signals are its own: a terminal's interrupt reaches this process alone."""
    return subprocess.Popen(list(command), env=dict(env), start_new_session=True)


def end(process: subprocess.Popen[bytes], *, within_s: float) -> int:
    """Ask a child to end, and end it with all that it started when it takes longer; its return code."""
    family = [process.pid, *_descendants(process.pid)]
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        return process.wait(max(within_s, 0.0))
    except subprocess.TimeoutExpired:
        for pid in {*family, *_descendants(process.pid)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return process.wait()


def end_descendants() -> None:
    """Leave no process behind."""
    left = _children()
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.terminate()
    psutil.wait_procs(left, timeout=_END_S)
    deadline = time.monotonic() + _END_S
    while (left := _children()) and time.monotonic() < deadline:
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(left, timeout=0.2)


def _children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if _is_alive(one)]


def _is_alive(one: psutil.Process) -> bool:
    try:
        return bool(one.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _descendants(pid: int) -> list[int]:
    try:
        return [one.pid for one in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
