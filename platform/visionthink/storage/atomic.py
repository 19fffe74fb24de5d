"""Files and folders that appear whole or not at all.

Rule: whatever outlives the process is written through this module. A stage can be killed, or the disk fill up, at any
byte; the next run must then find either the finished thing or nothing (DESIGN, law 6). Unfinished work lies beside its
target under a name starting with ".tmp-", is removed on failure, and is ignored by every listing if even that was not
possible (SIGKILL). Whoever may read a file that a program usually makes here may read these too: the mode is what the
umask leaves, also of files that a library made by way of a temporary file of its own (which only its owner may read).
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from visionthink.errors import StorageError
from visionthink.storage.error import from_os_error, is_full
from visionthink.storage.key import TEMPORARY_PREFIX
from visionthink.storage.manifest import MANIFEST, describe


@contextlib.contextmanager
def atomic_open(path: Path, *, replace: bool = True) -> Iterator[BinaryIO]:
    """Give a file to write that becomes `path` when the block ends well; parents are made.

    With `replace` off an existing `path` is left alone and FileExistsError is raised at the end of the block.

    Raises:
        DiskFullError: no room, also when a write in the block said so.
        StorageError: the file cannot be made there.
    """
    temporary = _temporary(path)
    try:
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = temporary.open("xb")
        with _full_translated(path), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with _translated(path, passed=() if replace else (FileExistsError,)):
            _place(temporary, path, replace)
            _sync_dir(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            temporary.unlink()


def atomic_write(path: Path, data: bytes) -> None:
    """Make or replace the file `path` with `data`.

    Raises:
        DiskFullError: no room; an older file of that name is untouched.
        StorageError: the file cannot be made there.
    """
    with atomic_open(path) as file:
        file.write(data)


def atomic_write_json(path: Path, value: object) -> None:
    """Make or replace the file `path` with `value` as indented JSON; NaN and infinity are refused.

    Raises:
        DiskFullError, StorageError: as `atomic_write`.
        TypeError, ValueError: JSON cannot say this value; nothing was written.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(path, f"{text}\n".encode())


@contextlib.contextmanager
def atomic_dir(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give an empty folder that becomes `path` when the block ends well, with a manifest written last.

    With `replace` an existing folder is swapped out; a kill between the two renames leaves no folder at `path`.

    Raises:
        StorageError: `path` exists (without `replace`), or the folder cannot be made there.
        DiskFullError: no room, also when a write in the block said so.
    """
    if not replace and path.exists():
        raise _taken(path)
    temporary = _temporary(path)
    try:
        with _translated(path):
            temporary.mkdir(parents=True)
        with _full_translated(path):
            yield temporary
        with _translated(path):
            atomic_write(temporary / MANIFEST, describe(temporary).to_json())
            _open_up(temporary)
            _sync_tree(temporary)
            _swap(temporary, path, replace)
            _sync_dir(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")


def _place(temporary: Path, path: Path, replace: bool) -> None:
    """Move a finished file to its name; os.link is the one call that moves and refuses to replace."""
    if replace:
        os.replace(temporary, path)
    else:
        os.link(temporary, path)


def _swap(temporary: Path, path: Path, replace: bool) -> None:
    """Move a finished folder to its name."""
    old = _temporary(path)
    if replace and path.exists():
        path.rename(old)
    try:
        temporary.rename(path)
    except OSError as error:
        if old.exists():
            old.rename(path)
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise _taken(path) from error
        raise
    shutil.rmtree(old, ignore_errors=True)


def _taken(path: Path) -> StorageError:
    return StorageError(
        f"{path} exists already and a published folder is never changed; remove it or choose another name",
        retryable=False,
    )


@contextlib.contextmanager
def _translated(path: Path, *, passed: tuple[type[OSError], ...] = ()) -> Iterator[None]:
    """Translate errors of this module's own steps, but those in `passed`."""
    try:
        yield
    except passed:
        raise
    except OSError as error:
        raise from_os_error(error, str(path), "write") from error


@contextlib.contextmanager
def _full_translated(path: Path) -> Iterator[None]:
    """Translate a full disk inside the caller's block; its other errors may be about something else altogether."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise from_os_error(error, str(path), "write") from error
        raise


def _open_up(folder: Path) -> None:
    """Give all files and folders the modes of the manifest and of `folder` itself, which were made the usual way.

    The umask is not asked for: it can only be read by setting it, for all threads.
    """
    file_mode, folder_mode = (stat.S_IMODE(path.stat().st_mode) for path in (folder / MANIFEST, folder))
    for parent, folders, names in os.walk(folder):
        for name in names:
            _set_mode(os.path.join(parent, name), file_mode)
        for name in folders:
            _set_mode(os.path.join(parent, name), folder_mode)


def _set_mode(path: str, mode: int) -> None:
    found = os.lstat(path).st_mode
    if not stat.S_ISLNK(found) and stat.S_IMODE(found) != mode:
        # Buckets and Windows shares that are mounted as folders keep no modes.
        with contextlib.suppress(PermissionError, NotImplementedError):
            os.chmod(path, mode)


def _sync_tree(folder: Path) -> None:
    """Put all files and folders below `folder` on the disk itself."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())
        _sync_dir(Path(parent))


def _sync_dir(folder: Path) -> None:
    """Put the names in `folder` on the disk itself, where the file system can do that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # FUSE and some network file systems
            raise
    finally:
        os.close(descriptor)
