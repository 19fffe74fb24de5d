"""Originals of pictures: fetched to a node once, decoded in a process once while they are asked about.

Rule: what lies in an object store is copied to the node's own disk, where all processes of the node find it, under the
name of its content. A copy that is not what its name says is thrown away, never trained on.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from PIL import Image

from visionthink.core.sample import Sample
from visionthink.errors import DataError, StorageError
from visionthink.storage import Store, atomic_write, open_store
from visionthink.training.verl.rows import picture_key, sample_of

_REMOTE: Final = "s3://"


class PictureFiles:
    """Reads encoded pictures from the places that rows name."""

    def __init__(self, folder: Path, *, open_at: Callable[[str], Store] = open_store) -> None:
        """Keep copies of what lies in an object store in `folder`, which may grow to the size of the data set."""
        self._folder = folder
        self._open_at = open_at
        self._stores: dict[str, Store] = {}

    def read(self, place: str) -> bytes:
        """The encoded picture at a file:// or s3:// address, or a path.

        Raises:
            StorageError: it cannot be read.
            DataError: what lies there is another picture than its name says.
        """
        prefix, _, name = place.rpartition("/")
        if not place.startswith(_REMOTE):
            return self._store(prefix).read(name)
        copy = self._folder / name
        if copy.is_file() and picture_key(data := copy.read_bytes()) == name:
            return data
        data = self._store(prefix).read(name)
        if picture_key(data) != name:
            raise DataError(f"{place} holds another picture than its name says; write the rows of the training again")
        atomic_write(copy, data)
        return data

    def _store(self, prefix: str) -> Store:
        if prefix not in self._stores:
            self._stores[prefix] = self._open_at(prefix)
        return self._stores[prefix]


class Original(NamedTuple):
    """A sample and its decoded picture."""

    sample: Sample
    picture: Image.Image


class Originals:
    """Decoded pictures, each made once for all episodes that look at it at the time.

    They share one object, so whoever keeps what was cut from it keeps it for all of them.
    """

    def __init__(self, files: PictureFiles, decode: Callable[[Sample], Image.Image], *, max_pictures: int = 64) -> None:
        """Decode with `decode`; keep the `max_pictures` that were used last."""
        self._files = files
        self._decode = decode
        self._max_pictures = max_pictures
        self._made: OrderedDict[str, asyncio.Task[Original]] = OrderedDict()

    async def get(self, info: Mapping[str, Any]) -> Original:
        """The sample of a row's `extra_info` and its picture.

        Raises:
            StorageError, DataError: the picture cannot be read or decoded; the next call tries again.
        """
        key = f"{info['picture']} {info['sample_id']}"
        task = self._made.pop(key, None)
        if task is None or (task.done() and task.exception() is not None):
            task = asyncio.create_task(asyncio.to_thread(self._make, dict(info)))
        self._made[key] = task
        while len(self._made) > self._max_pictures:
            self._made.popitem(last=False)
        return await asyncio.shield(task)

    def _make(self, info: Mapping[str, Any]) -> Original:
        try:
            sample = sample_of(info, self._files.read(info["picture"]))
        except OSError as error:
            raise StorageError(f"{info['picture']} cannot be read: {error}", retryable=True) from error
        return Original(sample, self._decode(sample))
