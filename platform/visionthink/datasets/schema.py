"""Which columns a table has, and what they mean to us.

Rule: readers find rows, a schema says what their columns are called, and everything behind it knows our columns alone
(see `row`). Errors name a column as its table does.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from visionthink.core.excerpt import excerpt, listed
from visionthink.datasets.value import text_of
from visionthink.errors import DataError

Cells: TypeAlias = Mapping[str, object]
"""A row as its table has it."""


def text_in(value: object, column: str) -> tuple[str, ...]:
    """The text of a cell, alone; nothing where the cell is empty.

    Raises:
        DataError: it holds something else.
    """
    text = text_of(value, column)
    return () if text is None else (text,)


def as_it_is(cells: Cells) -> Cells:
    """The row, unchanged."""
    return cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns of a table."""

    required: Mapping[str, str]
    """Name and meaning of those that must be there."""
    optional: tuple[str, ...] = ()
    """Those that are read where they are there."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What our columns are called there; none where they have our names. A column of ours that is not named is not
    there, whatever the table has under that name. `metadata.task` is the entry `task` of the column `metadata`."""
    details: Mapping[str, Callable[[object, str], tuple[str, ...]]] = field(default_factory=dict)
    """Columns that go along with a sample, by the names that the table has for them, and how a cell is read."""
    completed: Callable[[Cells], Cells] = as_it_is
    """The row with what is said by no column alone: a name that `names` may use."""

    def name_of(self, column: str) -> str | None:
        """What the table calls one of our columns; None where it has no such column."""
        return self.names.get(column) if self.names else column

    def wanted(self, found: Iterable[str]) -> list[str]:
        """The columns worth reading."""
        named = {name.partition(".")[0] for name in (*self.required, *self.optional, *self.details)}
        return [name for name in found if name in named]

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
    optional=("doc_id", "data_source", "family", "needs_high_res", "info", "other_answers", "region"),
)
"""The columns of the published VisionThink sets and four of ours: `family`, `needs_high_res`, `other_answers` and
`region`, the edges of the box where the evidence lies."""
