"""What labelling found out about a sample.

Rule: the counts are kept beside the label, so that a data set can be cut again with other thresholds, and the ground
truth beside both, so that anyone can count where they differ.
"""

from dataclasses import dataclass
from typing import Self

from visionthink.core.geometry import Size
from visionthink.core.json_value import Json
from visionthink.core.label import Label
from visionthink.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A sample's rollouts in numbers, and what follows from them."""

    id: str
    family: str
    num_correct_quarter: float
    num_correct_full: float
    label: Label | None
    """None when a rollout could not be had or not be graded: then the counts decide nothing."""
    truth: bool | None
    """Whether the full view is known to be needed; None when nobody knows."""
    error: str | None = None
    """Why, where `label` is None."""
    size: Size | None = None
    """Of the upright picture; None where it was never decoded."""

    @property
    def needed(self) -> bool | None:
        """The label as training wants it; None for a sample that is left out."""
        return {Label.NEEDED: True, Label.NOT_NEEDED: False}.get(self.label) if self.label else None

    def to_dict(self) -> dict[str, Json]:
        """The record as JSON."""
        return {
            "id": self.id,
            "family": self.family,
            "num_correct_quarter": self.num_correct_quarter,
            "num_correct_full": self.num_correct_full,
            "label": None if self.label is None else self.label.value,
            "truth": self.truth,
            "error": self.error,
            "size": None if self.size is None else [self.size.width, self.size.height],
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
                "family": str() as family,
                "num_correct_quarter": int() | float() as quarter,
                "num_correct_full": int() | float() as full,
                "label": str() | None as label,
                "truth": bool() | None as truth,
                "error": str() | None as error,
                "size": None | [int(), int()] as size,
            }:
                return cls(
                    id=name,
                    family=family,
                    num_correct_quarter=quarter,
                    num_correct_full=full,
                    label=None if label is None else Label(label),
                    truth=truth,
                    error=error,
                    size=_size(size),
                )
            case _:
                raise DataError(f"not a label record: {str(value)[:200]}")


def _size(value: Json) -> Size | None:
    match value:
        case [int() as width, int() as height]:
            return Size(width=width, height=height)
        case _:
            return None
