"""A full disk, as the libraries that write weights report it.

Rule: a full disk is the user's to mend, whoever met it. torch hides the system's error in the context of one of its
own, and safetensors in the text; both leave here as the storage error that the rest of the package raises.
"""

import contextlib
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Final

from safetensors import SafetensorError

from visionthink.storage.error import from_os_error

_NUMBER: Final = re.compile(r"os error (\d+)")


@contextlib.contextmanager
def weights_written(path: Path) -> Generator[None]:
    """Translate what goes wrong with the disk while the block writes weights to `path`.

    Raises:
        StorageError: a DiskFullError where there is no room.
    """
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        number = _system_error(error)
        if number is None:
            raise
        raise from_os_error(OSError(number, os.strerror(number)), str(path), "write") from error


def _system_error(error: BaseException) -> int | None:
    """The number of the system's error below `error`; None when there is none."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError):
            return below.errno
        below = below.__cause__ or below.__context__
    found = _NUMBER.search(str(error))
    return int(found[1]) if found else None
