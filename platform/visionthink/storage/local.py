"""A folder as a store.

Rule: no key reaches a file outside the folder, not even through a link that somebody put there. Keys come out of data
sets and requests; the folder may lie beside secrets. Links are followed where the user asked for that file by name, and
to the one place outside that Hugging Face's cache keeps a repository's content in.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from visionthink.core.excerpt import excerpt, shown
from visionthink.errors import StorageError, UserError
from visionthink.storage.atomic import atomic_open, atomic_write
from visionthink.storage.error import NotFoundError, from_os_error
from visionthink.storage.key import TEMPORARY_PREFIX, checked_key, checked_prefix


@dataclass(frozen=True, slots=True)
class LocalStore:
    """The files below `root`, which is made by the first write."""

    root: Path
    named: frozenset[str] = frozenset()
    """Keys that the user named, no row or request: as links they may lead anywhere."""

    @property
    def uri(self) -> str:
        """Where the store is, as a file URI."""
        return self.root.absolute().as_uri()

    def read(self, key: str) -> bytes:
        """Return the whole file."""
        path = self._path(key)
        try:
            return path.read_bytes()
        except OSError as error:
            raise self._error(error, key, "read") from error

    def open(self, key: str) -> BinaryIO:
        """Open the file."""
        path = self._path(key)
        try:
            return path.open("rb")
        except OSError as error:
            raise self._error(error, key, "read") from error

    def exists(self, key: str) -> bool:
        """Say whether there is a file (a folder is no object)."""
        path = self._path(key)
        try:
            return path.is_file()
        except OSError as error:
            raise self._error(error, key, "read") from error

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the sorted keys of all finished files. They are collected first, so writing meanwhile is safe."""
        folder = self.root / checked_prefix(prefix).rpartition("/")[0]
        yield from sorted(key for key in self._walk(folder) if key.startswith(prefix))

    def write(self, key: str, data: bytes) -> None:
        """Make or replace the file."""
        atomic_write(self._path(key), data)

    def create(self, key: str, data: bytes) -> bool:
        """Make the file if there is none, else return False."""
        path = self._path(key)
        try:
            with atomic_open(path, replace=False) as file:
                file.write(data)
        except FileExistsError:
            return False
        return True

    def upload(self, key: str, path: Path) -> None:
        """Copy a file into the store."""
        try:
            source = path.open("rb")
        except OSError as error:
            raise from_os_error(error, str(path), "read") from error
        with source, atomic_open(self._path(key)) as target:
            shutil.copyfileobj(source, target)

    def download(self, key: str, path: Path) -> None:
        """Copy a file out of the store."""
        with self.open(key) as source, atomic_open(path) as target:
            shutil.copyfileobj(source, target)

    def _path(self, key: str) -> Path:
        path = self.root / checked_key(key)
        if key not in self.named and not self._is_inside(path):
            raise UserError(
                f"key {shown(key)} leads out of {excerpt(str(self.root))} through a link; copy the file into the folder"
            )
        return path

    def _is_inside(self, path: Path) -> bool:
        # Not Path.resolve: it fails on links in a circle, which are a read error like any other.
        real = Path(os.path.realpath(path))
        if real.is_relative_to(os.path.realpath(self.root)):
            return True
        blobs = _blobs(self.root.absolute())
        return blobs is not None and real.is_relative_to(os.path.realpath(blobs))

    def _walk(self, folder: Path) -> Iterator[str]:
        """Yield the keys of all files below `folder`; links to folders are followed only by naming them."""
        for parent, folders, names in os.walk(folder, onerror=self._refuse):
            folders[:] = [name for name in folders if not name.startswith(TEMPORARY_PREFIX)]
            for name in names:
                if not name.startswith(TEMPORARY_PREFIX):
                    yield Path(parent, name).relative_to(self.root).as_posix()

    def _refuse(self, error: OSError) -> None:
        """Fail on a folder that cannot be listed; one that is not there is only empty."""
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise from_os_error(error, str(error.filename), "list") from error

    def _error(self, error: OSError, key: str, action: str) -> StorageError:
        if isinstance(error, IsADirectoryError | NotADirectoryError):
            return NotFoundError(f"could not {action} {self.uri}/{key}: there is no file of that name")
        return from_os_error(error, f"{self.uri}/{key}", action)


def _blobs(folder: Path) -> Path | None:
    """Where the files of a snapshot in Hugging Face's cache lie: models--x/snapshots/<hash>/f -> ../../blobs/<sum>."""
    for place in (folder, *folder.parents):
        blobs = place.parent.parent / "blobs"
        if place.parent.name == "snapshots" and blobs.is_dir():
            return blobs
    return None
