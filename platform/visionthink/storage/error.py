"""Errors of disks and object stores, translated once.

Rule: outside this folder nobody meets an OSError of a store's own work or an exception of botocore. A full disk has a
class of its own, as has a file that this user may not touch: those the user can mend (exit code 2), while other storage
failures are nobody's input.

    StorageError
    ├── NotFoundError          there is nothing under this key
    ├── DiskFullError          no room, quota or file size left: exit code 2
    └── PermissionDeniedError  this user may not read or write there: exit code 2
"""

import errno
from typing import ClassVar, Final

from visionthink.core.excerpt import excerpt
from visionthink.errors import StorageError

_FULL: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file outgrew the size limit of the file system or of the process (ulimit -f)",
}
_RETRYABLE: Final = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EBUSY})
"""What network file systems report while a server restarts."""

_MAX_PLACE: Final = 200
"""Characters of a path or URI in a message."""


class NotFoundError(StorageError):
    """There is nothing under this key."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        """Never retryable by default: stores read their own writes."""
        super().__init__(message, retryable=retryable)


class DiskFullError(StorageError):
    """Nothing more fits; what was being written was taken away again."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        """Never retryable by default: somebody has to make room first."""
        super().__init__(message, retryable=retryable)


class PermissionDeniedError(StorageError):
    """This user may not read or write there."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        """Never retryable by default: somebody has to change the permissions first."""
        super().__init__(message, retryable=retryable)


def is_full(error: OSError) -> bool:
    """Say whether this is a lack of room."""
    return error.errno in _FULL


def from_os_error(error: OSError, place: str, action: str) -> StorageError:
    """Translate what the operating system said while `action` ("write", "read") was done to `place`."""
    place = excerpt(place, _MAX_PLACE)
    if error.errno in _FULL:
        return DiskFullError(
            f"{_FULL[error.errno]}: could not {action} {place}; nothing half-written was left. "
            "Make room, then run the same command again"
        )
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"could not {action} {place}: it does not exist")
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"could not {action} {place}: permission denied: let this user {action} it")
    reason = error.strerror or excerpt(str(error))
    return StorageError(f"could not {action} {place}: {reason}", retryable=error.errno in _RETRYABLE)
