"""One process at a time on a folder.

Rule: the lock is the kernel's (flock), so it ends with its process, however that ends, and no stale lock can ever keep
a killed run from being resumed. The file stays: removing it would let two processes hold locks on two files of one
name. Where the file system keeps no locks nothing is run: two processes on one folder would mix their shards.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

from visionthink.core.excerpt import excerpt
from visionthink.errors import StorageError, UserError
from visionthink.storage.error import from_os_error

LOCK_NAME: Final = ".lock"
_POLL_S: Final = 0.2


@contextlib.contextmanager
def locked(
    folder: Path,
    *,
    wait_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[None]:
    """Hold the lock of `folder`, which is made; wait `wait_s` seconds for another process to end.

    Raises:
        UserError: another process holds it still.
        StorageError: the folder cannot be written to, or its file system keeps no locks.
    """
    path = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise from_os_error(error, str(path), "write") from error
    try:
        end_s = clock() + wait_s
        while not _try(descriptor, path):
            if clock() >= end_s:
                raise UserError(
                    f"process {_holder(descriptor)} is working on {folder}; wait for it or end it, or choose another "
                    "run with --fresh, --run-id or --run-dir"
                )
            sleep(_POLL_S)
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError(
            f"could not lock {excerpt(str(path))}: {error.strerror}; its file system keeps no locks. Put the runs on a "
            "local disk (--run-dir), or mount it with locks (NFS: a running lockd, or the option local_lock=flock)",
            retryable=False,
        ) from error
    return True


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 20, 0).decode("ascii", "replace") or "(unknown)"
