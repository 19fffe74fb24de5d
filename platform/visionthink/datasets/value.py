"""What a cell of a table means, whatever wrote the table.

Rule: a value that is missing is missing in every spelling that tables have for it: null, NaN (what pandas makes of a
gap), an empty or blank text. The texts "nan", "null" and "None" are texts: somebody may be called so. A number is
written as people write it: a column of whole numbers with a gap in it is stored as floats, so 7.0 is "7".
"""

import ast
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from visionthink.core.excerpt import shown
from visionthink.core.geometry import Box
from visionthink.errors import DataError

_MISSING_TYPES: Final = frozenset({"NAType", "NaTType"})
"""What pandas calls its gaps; it need not be installed."""
_EXACT: Final = 2.0**53
"""Floats below are whole numbers where they look so."""


def is_missing(value: object) -> bool:
    """Say whether a cell is empty."""
    if value is None or type(value).__name__ in _MISSING_TYPES:
        return True
    if isinstance(value, float | Decimal):
        return math.isnan(value)
    return isinstance(value, str) and not value.strip()


def text_of(value: object, column: str) -> str | None:
    """Return a text, or a number as one; None where the cell is empty.

    Raises:
        DataError: it holds something else, or half a character.
    """
    if is_missing(value):
        return None
    match value:
        case str():
            return _checked(value, column)
        case bool():
            pass
        case int() | Decimal() if math.isfinite(value):
            return f"{value:f}" if isinstance(value, Decimal) else str(value)
        case float() if math.isfinite(value):
            return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
    raise DataError(f"column {column!r} must hold a text, got {shown(value)}")


def texts_of(value: object, column: str) -> tuple[str, ...]:
    """Return the texts of a list, or the one that stands alone: each once, in their order, gaps left out.

    Raises:
        DataError: an entry is neither text nor number.
    """
    cells: Sequence[object] = value if isinstance(value, list | tuple) else (value,)
    texts = (text_of(cell, column) for cell in cells)
    return tuple(dict.fromkeys(text for text in texts if text is not None))


def listed_texts_of(value: object, column: str) -> tuple[str, ...]:
    """Return the texts of a list, equal ones and blank ones too, or of a text that spells one as Python does.

    The options of a question are counted by letters, so that none may be left out.

    Raises:
        DataError: it is no list, or an entry is neither text nor number.
    """
    if is_missing(value):
        return ()
    if isinstance(value, str):
        value = _spelled(value, column)
    if not isinstance(value, list | tuple):
        raise DataError(f"column {column!r} must hold a list of texts, got {shown(value)}")
    return tuple("" if is_missing(cell) else text_of(cell, column) or "" for cell in value)


def _spelled(text: str, column: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise DataError(f"column {column!r} must hold a list of texts, got {shown(text)}") from error


def flag_of(value: object, column: str) -> bool | None:
    """Return true or false, also of 1 and 0; None where the cell is empty.

    Raises:
        DataError: it holds something else.
    """
    if is_missing(value):
        return None
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise DataError(f"{column!r} must be true, false or null, got {shown(value)}")


def box_of(value: object, column: str) -> Box | None:
    """Return a box, given as its left, top, right and bottom edge in pixels; None where the cell is empty.

    Raises:
        DataError: it holds something else.
    """
    if is_missing(value):
        return None
    match value:
        case [int() as left, int() as top, int() as right, int() as bottom]:
            return Box(left=left, top=top, right=right, bottom=bottom)
        case _:
            raise DataError(f"column {column!r} must hold left, top, right and bottom in pixels, got {shown(value)}")


def _checked(text: str, column: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"column {column!r} holds half a character: {shown(text)}; mend the text") from error
    return text
