"""The base of every configuration section, and what marks a setting.

Rule: sections are frozen and know no unknown key and no lossy or infinite number. What is special about a setting is
written where the setting is, as a mark in its type, so that no list elsewhere can forget one; a setting that is not
marked as operational changes results.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True, slots=True)
class Operational:
    """Marks a setting of how the work is done: it changes no figure beyond rounding, and may change in mid-run."""


@dataclass(frozen=True, slots=True)
class Place:
    """Marks a setting that names a place: a path, or an address with `://`."""

    words: tuple[str, ...] = ()
    """Values that mean something else than a path of that name."""


OPERATIONAL: Final = Operational()


class Section(BaseModel):
    """A group of settings; two equal sections compare equal and hash the same."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """The settings that change results, as JSON: what a run is, without how the work is done."""
        tree = self.model_dump(mode="json")
        return {
            name: value.identity() if isinstance(value := getattr(self, name), Section) else tree[name]
            for name, info in type(self).model_fields.items()
            if OPERATIONAL not in info.metadata
        }

    def with_absolute_places(self, folder: Path) -> Self:
        """The same, with relative paths taken as those below `folder`, so that they lead to one place from anywhere."""
        changed: dict[str, object] = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Section):
                changed[name] = value.with_absolute_places(folder)
            for mark in info.metadata:
                if isinstance(mark, Place) and value is not None and value not in mark.words and "://" not in value:
                    changed[name] = str(folder / value)
        return self.model_copy(update=changed)
