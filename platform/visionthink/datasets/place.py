"""From what the user named to the files in it.

Rule: what the user named is followed wherever it leads: a link, a snapshot of Hugging Face's cache, a folder that
Kubernetes mounted. What only lies in a named folder is looked at by its name (shard.py), each file once, however many
links lead to it; a link to a folder elsewhere is not followed, and that is said.
"""

import os
import posixpath
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from visionthink.core.excerpt import excerpt
from visionthink.datasets.shard import LeftOut, why_hidden
from visionthink.errors import DataError
from visionthink.storage import LocalStore, Store, open_store
from visionthink.storage.error import from_os_error

_SNAPSHOTS: Final = "snapshots/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the user named, with what may be data in it."""

    name: str
    """As the user wrote it."""
    store: Store
    keys: tuple[str, ...]
    """Sorted; one where the user named a file."""
    is_file: bool = False
    left_out: tuple[LeftOut, ...] = ()
    links: frozenset[str] = frozenset()
    """Keys that are links, or may be: the user named them."""

    def files(self, keys: tuple[str, ...]) -> Store:
        """Return the store that reads these files also where they are links out of the folder, for no row to use."""
        if isinstance(self.store, LocalStore):
            return LocalStore(self.store.root, named=self.links.intersection(keys))
        return self.store

    def identity(self, key: str) -> str:
        """Return what is the same for all names of one file."""
        if isinstance(self.store, LocalStore):
            return os.path.realpath(self.store.root / key)
        return f"{self.store.uri}/{key}"


def find_place(uri: str | Path) -> Place:
    """Look at a file, a folder, or an S3 object or prefix.

    Raises:
        DataError: there is nothing.
        StorageError: the disk or server failed.
    """
    name, store = str(uri), open_store(uri)
    place = _local(name, store) if isinstance(store, LocalStore) else _remote(name, store)
    if not place.keys:
        left = f" but for {place.left_out[0].key} ({place.left_out[0].why})" if place.left_out else ""
        raise DataError(
            f"{excerpt(name)} does not exist or is empty{excerpt(left, 80)}; "
            "give a file, a folder or an s3:// URI that holds samples"
        )
    snapshots = sorted({key.split("/")[1] for key in place.keys if key.startswith(_SNAPSHOTS)})
    if len(snapshots) > 1:
        raise DataError(f"{excerpt(name)} holds {len(snapshots)} snapshots; name the folder of one of them")
    return place


def _remote(name: str, store: Store) -> Place:
    folder, _, last = store.uri.rpartition("/")
    if folder != "s3:/" and (parent := open_store(folder)).exists(last):
        return Place(name=name, store=parent, keys=(last,), is_file=True)
    keys, left_out = [], []
    for key in store.list():
        why = next(filter(None, map(why_hidden, key.split("/"))), None)
        if why is None:
            keys.append(key)
        else:
            left_out.append(LeftOut(key=key, why=why))
    return Place(name=name, store=store, keys=tuple(keys), left_out=tuple(left_out))


def _local(name: str, store: LocalStore) -> Place:
    root = _spelled(store.root)
    try:
        is_file = root.is_file()
    except OSError as error:
        raise from_os_error(error, str(root), "read") from error
    if is_file:
        return Place(
            name=name, store=LocalStore(root.parent), keys=(root.name,), is_file=True, links=frozenset({root.name})
        )
    walk = _Walk(root)
    walk.folder("")
    for key in walk.folder_links:
        walk.follow(key)
    return Place(
        name=name,
        store=LocalStore(root),
        keys=tuple(sorted((*walk.files, *walk.links))),
        left_out=tuple(walk.left_out),
        links=frozenset(walk.links),
    )


def _spelled(path: Path) -> Path:
    """Return the path as the disk spells it: accents are composed on one machine and decomposed on another."""
    if not str(path).isascii() and not os.path.lexists(path):
        for form in ("NFC", "NFD"):
            other = Path(unicodedata.normalize(form, str(path)))
            if os.path.lexists(other):
                return other
    return path


@dataclass(slots=True)
class _Walk:
    """What lies below a folder."""

    root: Path
    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    folder_links: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    entered: set[str] = field(default_factory=set)
    """Real paths of the folders that were looked into."""

    def folder(self, key: str) -> None:
        """Look at all of a folder, hidden things and links to folders left aside."""
        self.entered.add(os.path.realpath(self.root / key))
        for entry in self._entries(key):
            below = posixpath.join(key, entry.name)
            why = why_hidden(entry.name)
            if why is not None:
                self.left_out.append(LeftOut(key=below, why=why))
            elif entry.is_symlink():
                (self.folder_links if os.path.isdir(self.root / below) else self.links).append(below)
            elif entry.is_dir():
                self.folder(below)
            elif entry.is_file():
                self.files.append(below)
            else:
                self.left_out.append(LeftOut(key=below, why="no regular file"))

    def follow(self, key: str) -> None:
        """Look into a link to a folder that lies within the root, but behind a hidden name: a Kubernetes mount."""
        real = os.path.realpath(self.root / key)
        if not Path(real).is_relative_to(os.path.realpath(self.root)):
            self.left_out.append(LeftOut(key=key, why="a link to a folder elsewhere"))
        elif real not in self.entered:
            self.folder(key)

    def _entries(self, key: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / key) as found:
                yield from sorted(found, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise from_os_error(error, str(self.root / key), "list") from error
