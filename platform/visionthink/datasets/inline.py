"""Pictures that a row holds as text: a data URL, or bare base64.

Rule: RFC 2397, read as browsers read it: any parameters, line breaks and %-escapes in the data, missing padding. Bare
base64 counts only where it decodes to the first bytes of a picture, so that no path is taken for one.
"""

import base64
import binascii
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from visionthink.errors import DataError

_DATA_URL: Final = re.compile(r"\s*data:([^,]{0,1024}),", re.IGNORECASE)
_BARE: Final = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUkq|TU0A)[A-Za-z0-9+/\s]*={0,2}\s*")
"""How base64 of PNG, JPEG, GIF, WEBP and TIFF begins, and what it is made of."""
_MIN_BARE: Final = 48
"""Characters of the smallest such picture; shorter texts are paths."""


def inline_picture(text: str) -> bytes | None:
    """Return the bytes of a picture that `text` is; None where it is none but a path.

    Raises:
        DataError: a data URL that is broken, or that says it holds no picture.
    """
    head = _DATA_URL.match(text)
    if head is None:
        return _decoded(text.encode()) if len(text) >= _MIN_BARE and _BARE.fullmatch(text) else None
    kind, *parameters = (part.strip().lower() for part in head[1].split(";"))
    if kind and not kind.startswith(("image/", "application/octet-stream")):
        raise DataError(f"column 'images' holds a data URL of the type {kind[:40]!r}, which is no picture")
    data = unquote_to_bytes(text[head.end() :])
    found = _decoded(data) if "base64" in parameters else data
    if not found:
        raise DataError(f"column 'images' holds a data URL of {len(text)} characters whose base64 is broken or empty")
    return found


def _decoded(data: bytes) -> bytes | None:
    bare = b"".join(data.split()).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        return None
