"""What a step and the process that runs the pipeline on this machine know of each other.

Rule: the step ends with the process that started it, however that ends; otherwise a killed `visionthink run` would
leave its stage at work, in the way of the next run. What the step says travels through kfp.local's standard output, so
lines of its own mark where the stage begins and ends in there.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

PARENT_VARIABLE: Final = "VISIONTHINK_PARENT_PID"
"""Process that runs the pipeline locally; the step ends with it."""
BEGIN, END, FAILED = "::visionthink begin::", "::visionthink end::", "::visionthink failed::"
"""Lines around what a local stage says; all other lines are Kubeflow's, or say why a stage failed."""

_POLL_S: Final = 0.5


def end_with_parent(env: Mapping[str, str]) -> bool:
    """Let this process end when the one that runs the pipeline locally ends; tell whether there is one."""
    pid = env.get(PARENT_VARIABLE)
    if not pid:
        return False
    wait = waiter(int(pid))

    def end() -> None:
        wait()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
    return True


def waiter(pid: int) -> Callable[[], None]:
    """A function that returns as soon as this process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return lambda: None
    except (AttributeError, OSError):  # macOS; an old kernel, or a sandbox that forbids the call
        return lambda: _poll(pid)
    return lambda: _wait(descriptor)


def _wait(descriptor: int) -> None:
    select.select([descriptor], [], [])


def _poll(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        except PermissionError:  # it lives, as somebody else
            pass
        time.sleep(_POLL_S)
