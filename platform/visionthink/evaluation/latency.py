"""How long one question took. A pure record; `timing` measures it.

Rule: single measurements are kept, so that mean and percentile can be formed over any set of families. What was not
measured is None, never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from visionthink.core.json_value import Json
from visionthink.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds from question to final answer, all turns together."""

    by_family: Mapping[str, tuple[float, ...]]
    """One number for each sample that was measured."""
    headline: tuple[str, ...]
    """The families that mean and percentile are of."""

    @property
    def mean_s(self) -> float | None:
        """Mean over the headline families; None where nothing was measured."""
        return _mean(self._seconds())

    @property
    def p50_s(self) -> float | None:
        """Median over the headline families."""
        seconds = self._seconds()
        return float(np.median(seconds)) if seconds else None

    @property
    def p95_s(self) -> float | None:
        """95th percentile over the headline families; of a few dozen samples it is close to the slowest."""
        seconds = self._seconds()
        return float(np.percentile(seconds, 95)) if seconds else None

    def of_family(self, family: str) -> float | None:
        """Mean of one family; None where none of its samples was measured."""
        return _mean(self.by_family.get(family, ()))

    def _seconds(self) -> list[float]:
        return [seconds for family in self.headline for seconds in self.by_family.get(family, ())]

    def to_dict(self) -> dict[str, Json]:
        """The measurement as JSON."""
        return {
            "by_family": {family: list(seconds) for family, seconds in self.by_family.items()},
            "headline": list(self.headline),
        }

    @classmethod
    def from_dict(cls, value: Json) -> Self:
        """Read what `to_dict` made.

        Raises:
            DataError: it is something else.
        """
        match value:
            case {"by_family": dict() as by_family, "headline": list() as headline}:
                seconds = {str(name): _numbers(found) for name, found in by_family.items()}
                return cls(by_family=seconds, headline=tuple(map(str, headline)))
            case _:
                raise DataError(f"not a latency record: {str(value)[:200]}; start a fresh run")


def _mean(seconds: Sequence[float]) -> float | None:
    return float(np.mean(seconds)) if seconds else None


def _numbers(value: Json) -> tuple[float, ...]:
    return (
        tuple(float(number) for number in value if isinstance(number, int | float)) if isinstance(value, list) else ()
    )
