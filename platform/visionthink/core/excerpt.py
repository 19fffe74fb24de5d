"""How values look in messages.

Rule: no message grows with what it speaks of. A row may hold a picture of 400 kB where a path belongs, and a folder a
million files; who reads the error wants the beginning, the end and the size. Whatever comes out can be printed and
written: one line, no half characters, no control characters.
"""

from collections.abc import Sequence

_GAP = " ... "


def excerpt(text: str, max_chars: int = 160) -> str:
    """``text`` on one line, its middle cut out where it is longer than ``max_chars``."""
    if len(text) > max_chars:
        head = (max_chars - len(_GAP)) * 2 // 3
        text = text[:head] + _GAP + text[len(text) - (max_chars - len(_GAP) - head) :]
    line = " ".join(text.split("\n")) if "\n" in text else text
    return "".join(map(_printable, line)).strip()


def shown(value: object, max_chars: int = 60) -> str:
    """The ``repr`` of ``value``, cut; of a long text or bytes with their length."""
    if isinstance(value, str | bytes) and len(value) > max_chars:
        unit = "characters" if isinstance(value, str) else "bytes"
        return f"{excerpt(repr(value[: max_chars // 2]), max_chars)}... ({len(value)} {unit})"
    return excerpt(repr(value), max_chars)


def listed(names: Sequence[str], num_shown: int = 5) -> str:
    """The first names and how many more there are; "none" of none."""
    more = len(names) - num_shown
    first = ", ".join(excerpt(name, 60) for name in names[:num_shown])
    return f"{first or 'none'} and {more} more" if more > 0 else first or "none"


def _printable(character: str) -> str:
    is_control = character < " " or "\x7f" <= character < "\xa0" or character in "\u2028\u2029"
    return ascii(character)[1:-1] if is_control or "\ud800" <= character <= "\udfff" else character
