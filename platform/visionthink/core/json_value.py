"""The type of a decoded JSON value.

Rule: what comes out of a model's reply or goes into a trace is typed as exactly what JSON can hold, so that the core
needs no ``Any`` and a trace can always be written down.
"""

from collections.abc import Mapping
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]


def as_object(value: Json) -> JsonObject:
    """The same value, which the caller knows to be an object."""
    assert isinstance(value, Mapping), value
    return value
