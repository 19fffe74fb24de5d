"""What a store can do, wherever it is.

Rule: stages talk to these protocols, never to a path or a boto3 client, so the same stage runs on one machine and on a
cluster. tests/contract/test_store.py holds every implementation to the sentences below.

Keys are relative paths (`key.py`). Whatever fails raises StorageError; a missing object NotFoundError; a bad key
UserError.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol


class Reader(Protocol):
    """Objects that can be looked up."""

    @property
    def uri(self) -> str:
        """Where the store is, for messages and for `open_store`."""
        ...

    def read(self, key: str) -> bytes:
        """Return the whole object."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Return the object as a seekable file that fetches what is read of it; the caller closes it."""
        ...

    def exists(self, key: str) -> bool:
        """Say whether the object is there, whole."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield all keys that start with `prefix`, sorted. A prefix is any beginning, not only a folder."""
        ...


class Writer(Protocol):
    """Objects that can be made. A reader sees the object before or after the call, never a part of it."""

    def write(self, key: str, data: bytes) -> None:
        """Make or replace the object."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Make the object if there is none, else leave it and return False.

        Of several writers one gets True. False may also be the echo of a first try whose reply was lost: compare
        the content before giving up.
        """
        ...


class Store(Reader, Writer, Protocol):
    """A reader and writer that also moves files of any size without holding them in memory."""

    def upload(self, key: str, path: Path) -> None:
        """Make or replace the object with the content of a file."""
        ...

    def download(self, key: str, path: Path) -> None:
        """Make or replace the file with the content of an object."""
        ...
