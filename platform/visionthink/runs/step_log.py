"""The metrics of each training step, one JSON object a line.

Rule: the file and the checkpoint agree. A run that goes on from the checkpoint of step 40 takes step 41 again, so lines
beyond 40 are cut off first: no step stands in the file twice.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from visionthink.storage import atomic_write
from visionthink.storage.error import from_os_error


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step in numbers."""

    step: int
    """From 1."""
    metrics: Mapping[str, float]
    """By key of `visionthink.metrics`."""


def read_steps(path: Path) -> tuple[StepRecord, ...]:
    """All steps in the file, in order; none when there is no file. A line cut short by a kill is passed over."""
    if not path.exists():
        return ()
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        records.append(StepRecord(step=int(value["step"]), metrics=value["metrics"]))
    return tuple(records)


class StepLog:
    """Appends steps to a file."""

    def __init__(self, path: Path, *, last_step: int) -> None:
        """Go on in `path` after `last_step`; what it holds of later steps is cut off."""
        self._path = path
        kept: Sequence[StepRecord] = [record for record in read_steps(path) if record.step <= last_step]
        atomic_write(path, "".join(map(_line, kept)).encode())

    def append(self, record: StepRecord) -> None:
        """Add a step; it is on the disk when this returns.

        Raises:
            StorageError: it cannot be written, for lack of room for example.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(record))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise from_os_error(error, str(self._path), "write") from error


def _line(record: StepRecord) -> str:
    return json.dumps({"step": record.step, "metrics": dict(record.metrics)}) + "\n"
