"""Whether this user may read what lies in a folder.

Rule: asked before a library opens the files. Some of them report a file that is closed to this user as one that does
not exist, and send people looking for a file that is there.
"""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from visionthink.storage.error import from_os_error


def check_readable(folder: Path) -> None:
    """Refuse a folder with a file directly in it that this user may not read; a missing folder holds none.

    Raises:
        PermissionDeniedError: naming the file or folder.
    """
    with _refused(folder):
        for path in folder.iterdir():
            with _refused(path):
                os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))


@contextlib.contextmanager
def _refused(path: Path) -> Generator[None]:
    """Refuse what is closed to this user; other failures are told better by whoever reads the file."""
    try:
        yield
    except PermissionError as error:
        raise from_os_error(error, str(path), "read") from error
    except OSError:
        return
