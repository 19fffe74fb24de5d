"""What a tracker missed while it was away, one JSON object a line.

Rule: a line repeats one call of `TrackedRun`, in the order in which it was made, so that sending the file again later
gives the run that an always reachable tracker would hold. Sending it twice changes nothing: runs skip what they hold.
The first line says whose calls these are, so that whoever reaches the tracker next can send them. How a try ended is
sent only if no other try came after it, or a run that ended well would be called failed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from visionthink.errors import DataError, TrackingError, UserError
from visionthink.storage.error import from_os_error
from visionthink.tracking.tracker import RunSpec, RunStatus, TrackedRun

_SUFFIX = ".jsonl"


class MissedLog:
    """A file of missed calls of one run; it exists only while there are some."""

    def __init__(self, folder: Path, spec: RunSpec) -> None:
        self.spec = spec
        self.path = folder / f"{spec.run_id}.{spec.stage}{_SUFFIX}"

    def params(self, params: Mapping[str, str]) -> None:
        """Note parameters."""
        self._note({"call": "params", "values": dict(params)})

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        """Note numbers of a step."""
        self._note({"call": "metrics", "step": step, "values": dict(values)})

    def artifact(self, path: Path, folder: str) -> None:
        """Note where an artifact lies; it is read when the note is sent."""
        self._note({"call": "artifact", "path": self._place(path), "folder": folder})

    def end(self, status: RunStatus) -> None:
        """Note how the run ended."""
        self._note({"call": "end", "status": status.value})

    def __bool__(self) -> bool:
        """Tell whether anything was missed."""
        return self.path.exists()

    def send(self, run: TrackedRun, *, has_ended: bool) -> int:
        """Make the missed calls on `run`, remove the file, and return how many calls there were.

        `has_ended` says that nobody works on the run, so that its last end is sent as well. Passed over: a line cut
        short by a kill, an artifact that is gone by now, a call that the tracker refuses for good (it would stand in
        the way of the rest for ever).

        Raises:
            TrackingError: the tracker failed again; the file stays as it was.
        """
        num_sent = 0
        for call in _to_send(list(_lines(self.path)), has_ended=has_ended):
            try:
                self._make(call, run)
            except DataError:
                continue
            except TrackingError as error:
                if error.retryable:
                    raise
                continue
            num_sent += 1
        self.path.unlink(missing_ok=True)
        return num_sent

    def _place(self, path: Path) -> str:
        """Within the run's folder, where the notes lie too, a path that stays right when the folder is moved."""
        absolute, folder = path.absolute(), self.path.parent.absolute().parent
        return str(Path("..", absolute.relative_to(folder)) if absolute.is_relative_to(folder) else absolute)

    def _note(self, call: Mapping[str, object]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                file.write(self._before(file.tell(), _last_byte(self.path)) + _line(call))
        except OSError as error:
            raise from_os_error(error, str(self.path), "write") from error

    def _before(self, size: int, last: bytes) -> bytes:
        """What the file lacks before the next note: its first line, or the end of a line that a kill cut short."""
        if size == 0:
            spec = self.spec
            return _line(
                {
                    "call": "start",
                    "run_id": spec.run_id,
                    "stage": spec.stage,
                    "tags": dict(spec.tags),
                    "closes_pipeline": spec.closes_pipeline,
                    "below": spec.below,
                }
            )
        return b"" if last == b"\n" else b"\n"

    def _make(self, call: Mapping[str, object], run: TrackedRun) -> None:
        match call:
            case {"call": "params", "values": dict() as values}:
                run.log_params({str(name): str(value) for name, value in values.items()})
            case {"call": "metrics", "values": dict() as values, "step": int() | None as step}:
                run.log_metrics({str(key): float(value) for key, value in values.items()}, step=step)
            case {"call": "artifact", "path": str() as path, "folder": str() as folder}:
                run.log_artifact((self.path.parent / path).resolve(), folder=folder)
            case {"call": "end", "status": str() as status}:
                run.end(RunStatus(status))
            case _:
                raise DataError(f"not a missed call: {call}")


def missed_logs(folder: Path, run_id: str) -> list[MissedLog]:
    """What the stages of a pipeline run missed, the oldest first."""
    found = [path for path in folder.glob(f"*{_SUFFIX}") if path.name.startswith(f"{run_id}.")]
    specs = [spec for path in sorted(found, key=_began_s) if (spec := _spec(path)) is not None]
    return [MissedLog(folder, spec) for spec in specs if spec.run_id == run_id]


def _spec(path: Path) -> RunSpec | None:
    match next(_lines(path), None):
        case {
            "call": "start",
            "run_id": str() as run_id,
            "stage": str() as stage,
            "tags": dict() as tags,
            "closes_pipeline": bool() as closes_pipeline,
            "below": str() | None as below,
        }:
            try:
                return RunSpec(run_id=run_id, stage=stage, tags=tags, closes_pipeline=closes_pipeline, below=below)
            except UserError:
                return None
        case _:
            return None


def _to_send(calls: Sequence[Mapping[str, object]], *, has_ended: bool) -> Iterator[Mapping[str, object]]:
    for index, call in enumerate(calls):
        is_last = index == len(calls) - 1
        if call.get("call") == "start" or (call.get("call") == "end" and not (has_ended and is_last)):
            continue
        yield call


def _lines(path: Path) -> Iterator[dict[str, object]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            call = json.loads(line)
        except ValueError:
            continue
        if isinstance(call, dict):
            yield call


def _line(call: Mapping[str, object]) -> bytes:
    return f"{json.dumps(call)}\n".encode()


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        return file.read(1)


def _began_s(path: Path) -> float:
    return path.stat().st_mtime
