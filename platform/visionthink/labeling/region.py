"""Which region suffices for a sample that needs more than the quarter view: rollouts on each region alone. Pure.

Rule: as with the two sizes, the rollouts follow from the run's seed and the sample's id alone, and the counts are kept
beside what follows from them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from visionthink import metrics as m
from visionthink.core.closer_look import named_view
from visionthink.core.geometry import Box, Size, ViewRule
from visionthink.core.json_value import Json
from visionthink.core.label import decide_region
from visionthink.core.sample import Sample
from visionthink.engines import Sampling
from visionthink.episodes.driver import derived_seed
from visionthink.episodes.runner import Ask, Done, End, Lost
from visionthink.errors import DataError
from visionthink.labeling.rollout import sample_number

_TEMPERATURE: Final = 1.0
_SIZES: Final = 2
"""Of the rollouts at the two sizes, which have the first places of a sample's seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionLabelled:
    """A sample's rollouts by region, and what follows from them."""

    id: str
    num_correct: tuple[float, ...]
    """In the order of the tool's regions; empty where a rollout could not be had or not be graded."""
    region: str | None
    """The one that suffices; None where there is none, or several."""
    is_right: bool | None
    """Whether it holds the evidence; None where there is no such region, or nobody knows where the evidence lies."""
    error: str | None = None
    """Why nothing could be counted."""

    def to_dict(self) -> dict[str, Json]:
        """The record as JSON."""
        return {
            "id": self.id,
            "num_correct": list(self.num_correct),
            "region": self.region,
            "is_right": self.is_right,
            "error": self.error,
        }

    @classmethod
    def from_dict(cls, value: Json) -> Self:
        """Read what `to_dict` made.

        Raises:
            DataError: it is something else.
        """
        match value:
            case {
                "id": str() as name,
                "num_correct": list() as counts,
                "region": str() | None as region,
                "is_right": bool() | None as is_right,
                "error": str() | None as error,
            }:
                numbers = tuple(float(count) for count in counts if isinstance(count, int | float))
                return cls(id=name, num_correct=numbers, region=region, is_right=is_right, error=error)
            case _:
                raise DataError(f"not a record of regions: {str(value)[:200]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSetting:
    """What the labels are decided by, besides model and samples."""

    num_rollouts: int
    """On each region."""
    max_reply_tokens: int
    seed: int
    rule: ViewRule
    regions: tuple[str, ...]
    """What the tool on offer calls them."""

    def asks(self, sample: Sample) -> tuple[Ask, ...]:
        """The rollouts of one region after the other."""
        number = sample_number(sample.id)
        return tuple(
            Ask(
                policy="always_low",
                region=region,
                sampling=Sampling(
                    temperature=_TEMPERATURE,
                    max_tokens=self.max_reply_tokens,
                    seed=derived_seed(self.seed, number, _SIZES + place, rollout),
                ),
            )
            for place, region in enumerate(self.regions)
            for rollout in range(self.num_rollouts)
        )

    def record(self, sample: Sample, end: End) -> RegionLabelled:
        """What the rollouts say of the sample."""
        match end:
            case Lost(error=error):
                return RegionLabelled(id=sample.id, num_correct=(), region=None, is_right=None, error=error)
            case Done(size=size, episodes=episodes):
                failed = [one.grade.error for one in episodes if one.grade.failed]
                if failed:
                    error = f"the judge cannot tell: {failed[0]}"
                    return RegionLabelled(id=sample.id, num_correct=(), region=None, is_right=None, error=error)
                counts = self._counts([one.grade.correct for one in episodes])
                region = decide_region(counts, self.num_rollouts)
                box = None if region is None else self.box(region, size)
                is_right = box.contains(sample.region) if box and sample.region else None
                return RegionLabelled(
                    id=sample.id, num_correct=tuple(counts.values()), region=region, is_right=is_right
                )

    def box(self, region: str, size: Size) -> Box | None:
        """What a region shows of a picture of `size`."""
        return named_view(region, size, self.rule).box

    def _counts(self, correct: Sequence[float]) -> dict[str, float]:
        num = self.num_rollouts
        return {region: sum(correct[place * num : (place + 1) * num]) for place, region in enumerate(self.regions)}


def region_metrics(records: Sequence[RegionLabelled]) -> dict[str, float]:
    """For how many samples one region suffices, and how often it holds the evidence."""
    found = Counter(record.is_right for record in records if record.region is not None)
    figures = {m.LABEL_NUM_REGION.key(): float(found.total())}
    if told := found[True] + found[False]:
        figures[m.LABEL_REGION_AGREEMENT_RATIO.key()] = found[True] / told
    return figures
