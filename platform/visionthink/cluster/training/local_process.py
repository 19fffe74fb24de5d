"""A training as processes of this machine, in folders that outlive them.

Rule: what a job is stands in its folder, so any process can follow a job that another one started. The command's end is
written by a keeper beside it, because only the parent of a process learns its exit code.

    <place>/<job>/
    ├── job.json      what was asked for, and the keeper's process; written first
    ├── log           what the command said
    └── code          the exit code; a job that has one is done
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from visionthink.cluster.training.backend import JobReport, JobState, TrainingJob, job_name
from visionthink.errors import ClusterError, ConfigError, DataError
from visionthink.storage.atomic import atomic_write_json
from visionthink.storage.json_file import read_json

_POLL_S: Final = 0.2
_SHELL: Final = "/bin/sh"
_KEEPER: Final = '"$@"; code=$?; echo $code > "$0.new"; mv "$0.new" "$0"'
"""For sh, whose first argument is the file for the exit code."""


class LocalProcessBackend:
    """Jobs as processes below a folder: for one machine, and for tests."""

    def __init__(
        self,
        place: Path,
        *,
        env: Mapping[str, str],
        grace_s: float = 30.0,
        deadline_s: float | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep jobs in `place`; each has `deadline_s` from its start, and `grace_s` to end when it is told to."""
        self._place, self._env, self._grace_s, self._deadline_s = place, env, grace_s, deadline_s
        self._clock, self._sleep = clock, sleep

    def submit(self, job: TrainingJob) -> str:
        """See `TrainingBackend`."""
        name = job_name(job.run_id)
        folder = self._place / name
        asked = json.loads(json.dumps(asdict(job)))
        if (folder / "job.json").exists():
            if self._told(name)["asked"] != asked:
                raise ConfigError(f"job {name} in {folder} is another command; cancel it first")
            if self.describe(name).state is not JobState.FAILED:
                return name
            rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log").open("ab") as log:
            # No Popen: it is to outlive this process, and whoever looks at it then is not its parent.
            keeper = os.posix_spawn(
                _SHELL,
                [_SHELL, "-c", _KEEPER, str(folder / "code"), *job.program],
                dict(self._env),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    *((os.POSIX_SPAWN_DUP2, log.fileno(), number) for number in (1, 2)),
                ],
                setsid=True,
            )
        atomic_write_json(folder / "job.json", {"asked": asked, "pid": keeper, "start_s": self._clock()})
        return name

    def describe(self, name: str) -> JobReport:
        """See `TrainingBackend`."""
        told, code = self._told(name), self._place / name / "code"
        if not code.exists():
            if _is_alive(told["pid"]):
                if self._deadline_s is None or self._clock() < told["start_s"] + self._deadline_s:
                    return JobReport(name=name, state=JobState.RUNNING)
                self._end(told["pid"])
                atomic_write_json(code, 128 + signal.SIGTERM)
                reason = f"it did not end in {self._deadline_s:g} s"
                return JobReport(name=name, state=JobState.FAILED, reason=reason)
            if not code.exists():
                return JobReport(name=name, state=JobState.FAILED, reason="its process is gone")
        ended = int(code.read_text())
        if ended == 0:
            return JobReport(name=name, state=JobState.SUCCEEDED)
        return JobReport(name=name, state=JobState.FAILED, reason=f"it ended with exit code {ended}")

    def wait(self, name: str, *, timeout_s: float, on_change: Callable[[JobReport], None]) -> JobReport:
        """See `TrainingBackend`."""
        end_s, last = self._clock() + timeout_s, None
        while True:
            report = self.describe(name)
            if report != last:
                on_change(report)
                last = report
            if report.state.is_final:
                return report
            if self._clock() > end_s:
                raise ClusterError(f"{report} after {timeout_s:g} s; wait longer, or cancel it", retryable=True)
            self._sleep(_POLL_S)

    def logs(self, name: str) -> Iterator[str]:
        """See `TrainingBackend`."""
        self._told(name)
        rest = b""
        with (self._place / name / "log").open("rb") as file:
            while True:
                is_final = self.describe(name).state.is_final  # before reading, so that nothing is written after
                *lines, rest = (rest + file.read()).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in lines)
                if is_final:
                    break
                self._sleep(_POLL_S)
        if rest:
            yield rest.decode("utf-8", "replace")

    def cancel(self, name: str) -> None:
        """See `TrainingBackend`."""
        with contextlib.suppress(DataError):
            self._end(self._told(name)["pid"])
        rmtree(self._place / name, ignore_errors=True)

    def _told(self, name: str) -> Mapping[str, Any]:
        path = self._place / name / "job.json"
        if not path.exists():
            raise DataError(f"there is no job {name} in {self._place}; submit it first")
        told: Any = read_json(path)
        return dict(told)

    def _end(self, pid: int) -> None:
        """End the command and its keeper: their session is the keeper's own."""
        for number, patience_s in ((signal.SIGTERM, self._grace_s), (signal.SIGKILL, self._grace_s)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
            end_s = time.monotonic() + patience_s
            while _is_alive(pid) and time.monotonic() < end_s:
                self._sleep(_POLL_S)


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # where it is a child of this process, it is no more once it has ended
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return False
    return state not in ("Z", "X")
