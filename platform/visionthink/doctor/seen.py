"""What can be seen of a cluster and of the servers on it, as plain values.

Rule: a value is what was seen, `Unseen` says why nothing was; no other thing stands for either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Unseen:
    """Why a thing could not be looked at: a right that is missing, a server that does not answer."""

    why: str


Names: TypeAlias = frozenset[str] | Unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One thing that an account has to be allowed to do in a namespace."""

    group: str
    resource: str
    """`pods`, or with its part `pods/log`."""
    verb: str

    def __str__(self) -> str:
        """As `kubectl auth can-i` has it."""
        part = self.resource.partition("/")
        plural = f"{part[0]}.{self.group}" if self.group else part[0]
        return f"{self.verb} {plural}{part[1]}{part[2]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCluster:
    """What the API server told."""

    version: str | Unseen
    """`1.36.3`."""
    apis: Names
    """`group/version/Kind` of each kind that it serves."""
    has_canary: bool | Unseen
    """Whether an InferenceService has canaries: KServe 0.20 or newer."""
    admitted: Mapping[str, str]
    """What the server said to an object of each kind, not to be made: empty where it took it."""
    operators: Mapping[str, int | Unseen]
    """Pods that are ready, by the operator's name."""
    default_class: str | Unseen | None
    """The default StorageClass."""
    claims: Mapping[str, str | Unseen | None]
    """The phase of each volume claim; None where there is none."""
    gpus: tuple[int, ...] | Unseen
    """GPUs that a pod may have, by node."""
    refused: tuple[Right, ...] | Unseen
    """What the steps' account may not do."""
    account_exists: bool | Unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a server answered."""

    place: str
    problem: str = ""
    """Empty where all went well."""
    is_out_of_reach: bool = False
    """Whether its name means nothing here: it may, on the cluster."""
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenServers:
    """What the servers answered; None for one that the settings do not name."""

    store: Probe | None
    tracker: Probe | None
    pipelines: Probe | None
