"""The list of files that makes a folder complete.

Rule: a folder that is published (a checkpoint, a model, a set of shards) holds manifest.json with the size and SHA-256
of every other file, and it is written last. So "the manifest is there" means "all of it is there", in a folder and
under an S3 prefix, where a rename of many objects does not exist.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from visionthink.errors import StorageError
from visionthink.storage.error import NotFoundError, from_os_error

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """What one file must be."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All files of a folder but the manifest itself, by relative path, sorted."""

    files: Mapping[str, FileEntry]

    def to_json(self) -> bytes:
        """Return the content of manifest.json."""
        files = {name: {"size_bytes": entry.size_bytes, "sha256": entry.sha256} for name, entry in self.files.items()}
        return f"{json.dumps({'files': files}, indent=2, ensure_ascii=False)}\n".encode()

    @classmethod
    def from_json(cls, data: bytes, place: str) -> "Manifest":
        """Read the content of a manifest.json that lies at `place`.

        Raises:
            StorageError: it is no manifest.
        """
        try:
            listed = json.loads(data)["files"].items()
            files = {
                str(name): FileEntry(size_bytes=int(entry["size_bytes"]), sha256=str(entry["sha256"]))
                for name, entry in listed
            }
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{place} is no manifest of this platform ({error!r}); publish the folder again", retryable=False
            ) from error
        return cls(files=dict(sorted(files.items())))


def describe(folder: Path) -> Manifest:
    """List and hash what lies in `folder` now; a link counts as the file it leads to.

    Raises:
        StorageError: a file cannot be read.
    """
    names = sorted(
        Path(parent, name).relative_to(folder).as_posix() for parent, _, found in os.walk(folder) for name in found
    )
    return Manifest(files={name: _entry(folder / name) for name in names if name != MANIFEST})


def is_complete(folder: Path) -> bool:
    """Say whether `folder` was published to its end; nothing is hashed."""
    return (folder / MANIFEST).is_file()


def verify(folder: Path) -> Manifest:
    """Hash the files of a published folder and return its manifest. Files that it does not list are allowed.

    Raises:
        NotFoundError: the folder has no manifest, so its writer did not finish.
        StorageError: a listed file is missing, cut short or changed.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(f"{folder} is not complete: it has no {MANIFEST}; make it again")
    manifest = Manifest.from_json(path.read_bytes(), str(path))
    for name, want in manifest.files.items():
        got = _entry(folder / name)
        if got != want:
            raise StorageError(
                f"{folder / name} has {got.size_bytes} bytes and SHA-256 {got.sha256}, the manifest says "
                f"{want.size_bytes} and {want.sha256}; it was damaged or changed: fetch or make the folder again",
                retryable=False,
            )
    return manifest


def _entry(path: Path) -> FileEntry:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return FileEntry(size_bytes=os.fstat(file.fileno()).st_size, sha256=digest)
    except OSError as error:
        raise from_os_error(error, str(path), "read") from error
