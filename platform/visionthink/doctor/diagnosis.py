"""What is said of one thing that the platform needs. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from visionthink.core.json_value import Json


class Health(StrEnum):
    """How a thing is."""

    OK = "ok"
    UNKNOWN = "unknown"
    """It could not be looked at."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One thing, how it is, and what to do."""

    name: str
    health: Health
    found: str
    """What was seen."""
    mend: str = ""
    """The command that mends it, or that finds out."""

    def to_dict(self) -> dict[str, Json]:
        """The diagnosis as JSON."""
        found: dict[str, Json] = asdict(self)
        return {**found, "health": self.health.value}


def right(name: str, found: str) -> Diagnosis:
    """It is as it should be."""
    return Diagnosis(name=name, health=Health.OK, found=found)


def wrong(name: str, found: str, mend: str) -> Diagnosis:
    """It is not, and `mend` makes it so."""
    return Diagnosis(name=name, health=Health.WRONG, found=found, mend=mend)


def unknown(name: str, found: str, mend: str) -> Diagnosis:
    """It cannot be told from here; `mend` finds out."""
    return Diagnosis(name=name, health=Health.UNKNOWN, found=found, mend=mend)


def is_healthy(diagnoses: Sequence[Diagnosis]) -> bool:
    """Whether nothing is wrong; what is unknown may be."""
    return all(diagnosis.health is not Health.WRONG for diagnosis in diagnoses)
