"""Which columns a table has, and what they mean to us.

Rule: readers find rows, a schema says what their columns are called, and everything behind it knows our columns alone
(see `row`). Errors name a column as its table does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from visionthink.core.excerpt import excerpt, listed
from visionthink.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns of a table."""

    required: Mapping[str, str]
    """Name and meaning of those that must be there."""
    optional: tuple[str, ...] = ()
    """Those that are read where they are there."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What our columns are called there; none where they have our names. A column of ours that is not named is not
    there, whatever the table has under that name."""

    def name_of(self, column: str) -> str | None:
        """What the table calls one of our columns; None where it has no such column."""
        return self.names.get(column) if self.names else column

    def wanted(self, found: Iterable[str]) -> list[str]:
        """The columns worth reading."""
        return [name for name in found if name in self.required or name in self.optional]

    def check(self, found: Iterable[str], place: str) -> None:
        """Refuse a data set that lacks a required column.

        Raises:
            DataError: naming the column, those that are there, and what to do.
        """
        names = list(found)
        for column, meaning in self.required.items():
            if column not in names:
                raise DataError(
                    f"{excerpt(place)}: column {column!r} is missing; found {excerpt(listed(names, 8), 150)}. "
                    f"Rename the column that holds {meaning} to {column!r}"
                )


OURS: Final = Schema(
    required={"problem": "the question", "images": "the picture", "original_answer": "the right answer"},
    optional=("doc_id", "data_source", "family", "needs_high_res", "info", "other_answers"),
)
"""The columns of the published VisionThink sets and three of ours, `family`, `needs_high_res` and `other_answers`."""
