"""Pictures that a row holds as text: a data URL, or bare base64.

Rule: data URLs are read by the one parser of them. Bare base64 counts only where it decodes to the first bytes of a
picture, so that no path is taken for one.
"""

import re
from typing import Final

from visionthink.data_url import base64_bytes, data_url_bytes, is_data_url
from visionthink.errors import DataError

_BARE: Final = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUkq|TU0A)[A-Za-z0-9+/\s]*={0,2}\s*")
"""How base64 of PNG, JPEG, GIF, WEBP and TIFF begins, and what it is made of."""
_MIN_BARE: Final = 48
"""Characters of the smallest such picture; shorter texts are paths."""


def inline_picture(text: str) -> bytes | None:
    """Return the bytes of a picture that `text` is; None where it is none but a path.

    Raises:
        DataError: a data URL that is broken, or that says it holds no picture.
    """
    if is_data_url(text):
        try:
            return data_url_bytes(text)
        except DataError as error:
            raise DataError(f"column 'images', a text of {len(text)} characters: {error}") from error
    if len(text) < _MIN_BARE or not _BARE.fullmatch(text):
        return None
    try:
        return base64_bytes(text.encode())
    except DataError:
        return None
