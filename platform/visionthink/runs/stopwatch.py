"""Wall time that outlives a kill.

Rule: the seconds of a run are those of all of its tries together, or a run that was killed five times would look fast.
The sum is written every few seconds, so a kill loses no more than that.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from visionthink.errors import DataError, StorageError
from visionthink.storage import atomic_write_json
from visionthink.storage.json_file import read_json

_INTERVAL_S: Final = 2.0


class Stopwatch:
    """Counts while its block runs, on top of what the file holds from earlier tries."""

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.monotonic, interval_s: float = _INTERVAL_S
    ) -> None:
        """Keep the sum in `path`."""
        self._path = path
        self._clock = clock
        self._interval_s = interval_s
        self._earlier_s = read_seconds(path)
        self._start_s = clock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="stopwatch", daemon=True)

    @property
    def wall_s(self) -> float:
        """Seconds of all tries up to now."""
        return self._earlier_s + self._clock() - self._start_s

    def __enter__(self) -> Self:
        """Start to count."""
        self._start_s = self._clock()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the sum, also of a try that failed."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(StorageError):  # a full disk is told by what is written next, or was told before
            self._keep()

    def _tick(self) -> None:
        while not self._ended.wait(self._interval_s):
            with contextlib.suppress(StorageError):
                self._keep()

    def _keep(self) -> None:
        atomic_write_json(self._path, {"wall_s": round(self.wall_s, 3)})


def read_seconds(path: Path) -> float:
    """What a stopwatch kept in `path`; 0 when there is nothing."""
    try:
        value = read_json(path) if path.exists() else None
    except DataError:
        return 0.0
    match value:
        case {"wall_s": int() | float() as wall_s}:
            return float(wall_s)
        case _:
            return 0.0
