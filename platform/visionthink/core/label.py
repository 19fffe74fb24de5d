"""Whether a sample needs the full resolution, told by how often the base model solves it at either size.

Rule: only clear cases get a label. What lies between is discarded, and the counts are kept with the label, so that a
data set can be cut again with other thresholds.

Source: VisionThink 3.5: 8 rollouts at each size; all correct at both is "not needed", a gap of 6 or more is "needed".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from visionthink.errors import ConfigError, DataError

_REGION_LEAD = 0.75
"""Share of its rollouts by which a region must lead: 6 of 8, as ``min_gap`` between the two sizes."""


class Label(StrEnum):
    """What the rollouts say of a sample."""

    NEEDED = "needed"
    """The full view solves it clearly more often."""
    NOT_NEEDED = "not_needed"
    """Both views solve it every time."""
    DISCARDED = "discarded"
    """Neither is clear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """The thresholds; the defaults are the paper's."""

    num_rollouts: int = 8
    """Rollouts at each of the two sizes."""
    min_gap: int = 6
    """Correct rollouts by which the full view must lead for a sample to count as needing it."""

    def __post_init__(self) -> None:
        """Refuse a gap that no sample can show, or that every one shows."""
        if not 1 <= self.min_gap <= self.num_rollouts:
            raise ConfigError(f"min_gap must lie between 1 and num_rollouts {self.num_rollouts}, got {self.min_gap}")


def decide(num_correct_quarter: float, num_correct_full: float, rule: LabelRule) -> Label:
    """Label of a sample that was solved so many times from either view; partial credit counts for what it is.

    Raises:
        DataError: a count is not within 0 and ``num_rollouts``.
    """
    for name, count in (("quarter", num_correct_quarter), ("full", num_correct_full)):
        if not 0 <= count <= rule.num_rollouts:
            raise DataError(f"{count} of {rule.num_rollouts} rollouts correct with the {name} view; count again")
    if num_correct_quarter == num_correct_full == rule.num_rollouts:
        return Label.NOT_NEEDED
    if num_correct_full - num_correct_quarter >= rule.min_gap:
        return Label.NEEDED
    return Label.DISCARDED


def decide_region(num_correct: Mapping[str, float], num_rollouts: int) -> str | None:
    """The one region that suffices, of those that were each shown alone in ``num_rollouts`` rollouts.

    It solves most of them, and leads every other region by as large a share as separates the full view from the quarter
    view in the paper; ``None`` where there is no such region, or several.

    Raises:
        DataError: there is no region, or a count is not within 0 and ``num_rollouts``.
    """
    if not num_correct or not all(0 <= count <= num_rollouts for count in num_correct.values()):
        raise DataError(f"rollouts by region {dict(num_correct)}, of {num_rollouts} each; count again")
    best = max(num_correct, key=lambda name: num_correct[name])
    others = [count for name, count in num_correct.items() if name != best]
    lead = num_correct[best] - max(others, default=0)
    return best if lead >= _REGION_LEAD * num_rollouts else None
