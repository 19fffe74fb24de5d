"""Records of samples on disk, shard by shard: what a later try need not ask again.

Rule: a shard's file is written when the last of its members has its record, or when the work stops: then it holds those
that have one. Records lie in the order of the samples, so what a file holds does not depend on the order of their ends.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, Generic, Protocol, TypeVar

from visionthink.core.json_value import Json
from visionthink.errors import DataError
from visionthink.storage import atomic_write_json
from visionthink.storage.json_file import read_json

_NUM_DIGITS: Final = 5


class Record(Protocol):
    """What is kept of a sample."""

    @property
    def id(self) -> str:
        """The sample's."""
        ...

    def to_dict(self) -> dict[str, Json]:
        """The record as JSON."""
        ...


Kept = TypeVar("Kept", bound=Record)


@dataclass(slots=True)
class _Shard(Generic[Kept]):
    """The members of one file: records found or made by place, and the ids of the file that no sample has claimed."""

    records: dict[int, Kept]
    unclaimed: dict[str, Kept]
    is_changed: bool = False


class ShardBook(Generic[Kept]):
    """The records of one sequence of samples, in files `<prefix>00000.json` of `size` members each.

    Samples may be claimed in one thread while records are kept in another.
    """

    def __init__(self, folder: Path, *, size: int, read: Callable[[Json], Kept], what: str, prefix: str = "") -> None:
        """Read what is there. `what` names the records in errors: "labels".

        Raises:
            DataError: a file holds something else.
        """
        self._folder, self._size, self._what, self._prefix = folder, size, what, prefix
        self._shards: dict[int, _Shard[Kept]] = {}
        self._lock = Lock()
        for number, path in self._files():
            value: Json = read_json(path)
            records = [read(entry) for entry in value] if isinstance(value, list) else []
            self._shards[number] = _Shard({}, {record.id: record for record in records})

    @property
    def num_found(self) -> int:
        """Records of an earlier try that no sample has claimed yet."""
        return sum(len(shard.unclaimed) for shard in self._shards.values())

    def claim(self, place: int, sample_id: str) -> bool:
        """Whether the sample at `place` has its record from an earlier try. Call it for each sample, in order.

        Raises:
            DataError: the files hold records of other samples.
        """
        number, within = divmod(place, self._size)
        with self._lock:
            if within == 0:
                self._check(number - 1)
            shard = self._shards.get(number)
            found = shard.unclaimed.pop(sample_id, None) if shard is not None else None
            if shard is None or found is None:
                return False
            shard.records[place] = found
            return True

    def keep(self, place: int, record: Kept) -> None:
        """Keep the record of the sample at `place`; a shard that is full now is written.

        Raises:
            StorageError: there is no room.
        """
        number = place // self._size
        with self._lock:
            shard = self._shards.setdefault(number, _Shard({}, {}))
            shard.records[place] = record
            shard.is_changed = True
            if len(shard.records) == self._size:
                self._write(number, shard)

    def flush(self) -> None:
        """Write what is not written yet.

        Raises:
            StorageError: there is no room.
        """
        with self._lock:
            for number, shard in self._shards.items():
                if shard.is_changed:
                    self._write(number, shard)

    def finished(self) -> list[Kept]:
        """All records, in the order of their samples.

        Raises:
            DataError: the files hold records of other samples.
        """
        for number in self._shards:
            self._check(number)
        return [record for _, record in sorted(self._places())]

    def _places(self) -> Iterator[tuple[int, Kept]]:
        for shard in self._shards.values():
            yield from shard.records.items()

    def _check(self, number: int) -> None:
        shard = self._shards.get(number)
        if shard is not None and shard.unclaimed:
            raise DataError(
                f"{self._path(number)} holds {self._what} of other samples: the data set was changed meanwhile; start "
                "a fresh run"
            )

    def _write(self, number: int, shard: _Shard[Kept]) -> None:
        # What no sample has claimed yet may still be: a try that stops early must not lose it.
        kept = [record for _, record in sorted(shard.records.items(), key=lambda item: item[0])]
        entries = [record.to_dict() for record in (*kept, *shard.unclaimed.values())]
        atomic_write_json(self._path(number), entries)
        shard.is_changed = False

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._prefix}{number:0{_NUM_DIGITS}d}.json"

    def _files(self) -> Iterator[tuple[int, Path]]:
        name = re.compile(rf"{re.escape(self._prefix)}(\d{{{_NUM_DIGITS},}})\.json")
        for path in sorted(self._folder.glob("*.json")):
            found = name.fullmatch(path.name)
            if found:
                yield int(found.group(1)), path
