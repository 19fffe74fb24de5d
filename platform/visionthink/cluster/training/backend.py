"""What every place that trainings run in offers, and the words for how they are."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

_MAX_NAME: Final = 40
"""A job's name is the beginning of its pods' host names, which have 63 characters."""


class JobState(StrEnum):
    """How a job is."""

    PENDING = "pending"
    """Its pods are not there yet."""
    SUSPENDED = "suspended"
    """It waits for a place in its queue."""
    RUNNING = "running"
    RESTARTING = "restarting"
    """A part of it failed and is started anew."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self in (JobState.SUCCEEDED, JobState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What is to run."""

    run_id: str
    """The run that it belongs to."""
    program: tuple[str, ...]
    """The command of the first node; it goes on from what an earlier try saved."""
    num_steps: int = 0
    """Steps of the whole training, to tell the time that is left; 0 when nobody knows."""
    steps_file: str | None = None
    """Where the program tells its steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """How a job is, and why."""

    name: str
    state: JobState
    reason: str = ""
    """What the place says of the state."""
    trouble: tuple[str, ...] = ()
    """What keeps its parts from running: an image that cannot be had, no node with room."""

    def __str__(self) -> str:
        """One line."""
        return "; ".join([f"job {self.name} is {self.state}", *filter(None, [self.reason]), *self.trouble])


class TrainingBackend(Protocol):
    """A place that trainings run in."""

    def submit(self, job: TrainingJob) -> str:
        """The name of the job, which runs or waits to run.

        A job of the same run that is there already is adopted; one that failed is made anew, and goes on from what it
        saved.

        Raises:
            ConfigError: a job of that name is at work on something else.
            ClusterError: the place does not take it.
        """
        ...

    def describe(self, name: str) -> JobReport:
        """How the job is now.

        Raises:
            DataError: there is none of that name.
        """
        ...

    def wait(self, name: str, *, timeout_s: float, on_change: Callable[[JobReport], None]) -> JobReport:
        """The report of the job's end; `on_change` is told every state on the way.

        Raises:
            ClusterError: it has not ended in `timeout_s`.
        """
        ...

    def logs(self, name: str) -> Iterator[str]:
        """The lines of the first node until the job has ended, each once, also when the connection breaks."""
        ...

    def cancel(self, name: str) -> None:
        """There is no such job, and nothing of it runs."""
        ...


def job_name(run_id: str) -> str:
    """The name of a run's job: a DNS label; runs whose ids differ have names that differ."""
    plain = re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")
    name = f"train-{plain}"
    if plain == run_id and len(name) <= _MAX_NAME:
        return name
    tail = hashlib.blake2b(run_id.encode(), digest_size=4).hexdigest()
    return f"{name[: _MAX_NAME - len(tail) - 1].rstrip('-')}-{tail}"
