"""What a rollout needs of the world around it.

Rule: every call may fail or be the last one of its process, and may be made again: whoever implements a port makes
what it is told, whether or not it is so already.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from visionthink.core.json_value import Json
from visionthink.core.rollout import Judged
from visionthink.core.rollout_step import Change, Seen
from visionthink.core.slo import Traffic
from visionthink.rollout.record import RolloutRecord, ServedVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at the cluster shows."""

    seen: Seen
    stable: ServedVersion
    """The version in use; its number in the registry is not known here."""
    record: RolloutRecord | None
    """What is written down; None where nothing ever was."""
    shared_since_s: float = 0.0
    """Unix time of the last change of the shares; 0 where nobody knows."""
    generation: int = 0
    """Rises with every change of what the InferenceService wants."""
    trouble: str = ""
    """Why pods of the canary do not come up, as far as their node says."""


class RolloutCluster(Protocol):
    """The InferenceService, its route and its pods."""

    def look(self) -> Look:
        """What runs now, and what is written down.

        Raises:
            ClusterError: there is no such InferenceService, or the API server does not answer.
        """
        ...

    def keep(self, record: RolloutRecord, *, over: Look) -> bool:
        """Write `record` down; False, and nothing is written, when the service is no longer as that look showed it.

        Raises:
            ClusterError: the API server does not answer, or refuses.
        """
        ...

    def change(self, change: Change, version: ServedVersion, *, over: Look) -> None:
        """Make one change, or none when the InferenceService that it would change is no longer as that look showed it.

        `version` is the one that the change names.

        Raises:
            ClusterError: the API server does not answer, or refuses.
        """
        ...


class VersionRegistry(Protocol):
    """Which version is called the one in use."""

    def current(self) -> str | None:
        """The number of the version at the alias; None where there is none.

        Raises:
            TrackingError: nobody can be asked.
        """
        ...

    def move(self, number: str) -> None:
        """Move the alias to a version.

        Raises:
            TrackingError: it cannot be moved.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What an evaluation found."""

    judged: Judged
    facts: Mapping[str, Json]
    """The figures and the reasons."""


class Evaluator(Protocol):
    """Asks the dark version and the version in use the same questions."""

    def evaluate(self, version: ServedVersion, incumbent: ServedVersion) -> Evaluated:
        """What the gate says.

        Raises:
            BackendError: there is an outage; what is answered by then is kept for the next try.
        """
        ...


class SloSource(Protocol):
    """How requests fared."""

    def check(self) -> None:
        """Return when it can be asked.

        Raises:
            ClusterError: it cannot.
        """
        ...

    def traffic(self, version: ServedVersion, window_s: float) -> Traffic:
        """The requests of a version in the last `window_s` seconds.

        Raises:
            ClusterError: it does not answer, or not with numbers.
        """
        ...


class Clock(Protocol):
    """Time."""

    def now_s(self) -> float:
        """Unix time."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after so long."""
        ...
