"""What a tracker missed while it was away, one JSON object a line.

Rule: a line repeats one call of `TrackedRun`, in the order in which it was made, so that sending the file again later
gives the run that an always reachable tracker would hold. Sending it twice changes nothing: runs skip what they hold.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from visionthink.errors import DataError, TrackingError
from visionthink.storage.error import from_os_error
from visionthink.tracking.tracker import RunStatus, TrackedRun


class MissedLog:
    """A file of missed calls; it exists only while there are some."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def params(self, params: Mapping[str, str]) -> None:
        """Note parameters."""
        self._note({"call": "params", "values": dict(params)})

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        """Note numbers of a step."""
        self._note({"call": "metrics", "step": step, "values": dict(values)})

    def artifact(self, path: Path, folder: str) -> None:
        """Note where an artifact lies; it is read when the note is sent."""
        self._note({"call": "artifact", "path": str(path.absolute()), "folder": folder})

    def end(self, status: RunStatus) -> None:
        """Note how the run ended."""
        self._note({"call": "end", "status": status.value})

    def __bool__(self) -> bool:
        """Tell whether anything was missed."""
        return self.path.exists()

    def _note(self, call: Mapping[str, object]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(call) + "\n")
        except OSError as error:
            raise from_os_error(error, str(self.path), "write") from error

    def send(self, run: TrackedRun) -> int:
        """Make the missed calls on `run`, remove the file, and return how many calls there were.

        Passed over: a line cut short by a kill, an artifact that is gone by now, a call that the tracker refuses for
        good (it would stand in the way of the rest for ever).

        Raises:
            TrackingError: the tracker failed again; the file stays as it was.
        """
        num_sent = 0
        for call in self._read():
            try:
                _make(call, run)
            except DataError:
                continue
            except TrackingError as error:
                if error.retryable:
                    raise
                continue
            num_sent += 1
        self.path.unlink(missing_ok=True)
        return num_sent

    def _read(self) -> Iterator[dict[str, object]]:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                call = json.loads(line)
            except ValueError:
                continue
            if isinstance(call, dict):
                yield call


def _make(call: Mapping[str, object], run: TrackedRun) -> None:
    match call:
        case {"call": "params", "values": dict() as values}:
            run.log_params({str(name): str(value) for name, value in values.items()})
        case {"call": "metrics", "values": dict() as values, "step": int() | None as step}:
            run.log_metrics({str(key): float(value) for key, value in values.items()}, step=step)
        case {"call": "artifact", "path": str() as path, "folder": str() as folder}:
            run.log_artifact(Path(path), folder=folder)
        case {"call": "end", "status": str() as status}:
            run.end(RunStatus(status))
        case _:
            raise DataError(f"not a missed call: {call}")
