"""A process that ends when the one that started it does, however that ended.

Rule: the parent holds the other end of this process's standard input, and writes nothing. The kernel closes it with the
parent, also with one that was killed, so no training is left that nobody follows.
"""

import os
import signal
import sys
import threading
from typing import Final

_GRACE_S: Final = 20.0
"""For the process to end itself by SIGTERM's handler, before it is ended without."""


def end_with_parent() -> None:
    """Watch for the parent's end from now on."""
    threading.Thread(target=_watch, args=(sys.stdin.fileno(),), name="parent", daemon=True).start()


def _watch(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)
