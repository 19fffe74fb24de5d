"""What may name an object.

Rule: one rule for folders and buckets, checked before either is touched. A key that comes out of a data set
("../../etc/passwd") must not reach a file outside the store, and a key that works in a folder must work in a bucket.
"""

import unicodedata
from typing import Final

from visionthink.core.excerpt import shown
from visionthink.errors import UserError

TEMPORARY_PREFIX: Final = ".tmp-"
"""Names of unfinished files and folders start so. Listings leave them out and no key may use it."""

_UNKEPT: Final = frozenset({"Cc", "Cs"})
"""Control characters and half characters. All else stands in names that people's machines make: the narrow blank of
macOS screenshots, joiners of emoji, marks of writing direction."""
_MAX_KEY_BYTES: Final = 1024
_MAX_NAME_BYTES: Final = 255


def checked_key(key: str) -> str:
    """Return `key` unchanged when it is a relative path like "shards/00.parquet".

    Raises:
        UserError: the key is empty, absolute, too long, reaches upwards, or has a character no store keeps.
    """
    problem = _problem(key)
    if problem is not None:
        raise UserError(f"key {shown(key)} {problem}; use a relative path such as 'shards/00.parquet'")
    return key


def checked_prefix(prefix: str) -> str:
    """Return `prefix` unchanged when it is the beginning of some key: "", "shards/" and "shards/0" are.

    Raises:
        UserError: no key can start so.
    """
    checked_key(f"{prefix}x")
    return prefix


def _problem(key: str) -> str | None:
    if any(unicodedata.category(character) in _UNKEPT for character in key):
        return "has a control character or half a character"
    names = key.split("/")
    if any(name in ("", ".", "..") for name in names):
        return "is empty, absolute, or has an empty, '.' or '..' part"
    if any(name.startswith(TEMPORARY_PREFIX) for name in names):
        return f"has a part that starts with {TEMPORARY_PREFIX!r}, which marks unfinished files"
    if len(key.encode()) > _MAX_KEY_BYTES or any(len(name.encode()) > _MAX_NAME_BYTES for name in names):
        return f"is longer than {_MAX_KEY_BYTES} bytes, or one of its parts longer than {_MAX_NAME_BYTES}"
    return None
