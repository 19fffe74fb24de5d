"""Reads the bytes out of a data URL, in every form that clients send.

Rule: form leniently, content strictly. Parameters, upper case, line breaks, missing padding, the URL-safe alphabet and
percent signs are all one picture; a character that no form of base64 has is an error, never skipped. What the URL says
about the kind of picture is not believed: the bytes tell. No message repeats more than a few characters of the URL.
"""

import base64
import binascii
import re
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from visionthink.errors import DataError

_SCHEME: Final = "data:"
_HEADER: Final = re.compile(r'(?:[^,"]|"[^"]*")*')  # a quoted parameter (name="a,b.png") may hold a comma
_MAX_HEADER_CHARS: Final = 1024
_BLANKS: Final = b" \t\r\n\f\v"
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_UNTOLD: Final = frozenset({"", "image", "application/octet-stream", "binary/octet-stream"})  # by the bytes, then
_SHOWN_CHARS: Final = 24


def is_data_url(url: str) -> bool:
    """Whether `url` is a data URL at all, well-formed or not."""
    return url.lstrip()[: len(_SCHEME)].lower() == _SCHEME


def data_url_bytes(url: str) -> bytes:
    """The bytes in the data URL `url`.

    Source: RFC 2397, read as leniently as browsers do (WHATWG Fetch, "data: URL processor"), and a little more so.

    Raises:
        DataError: it has no comma, says that it is something else than a picture, or its base64 is broken.
    """
    rest = url.strip()[len(_SCHEME) :]
    if "," not in rest[:_MAX_HEADER_CHARS]:
        rest = _with_comma(rest)
    found = _HEADER.match(rest, 0, _MAX_HEADER_CHARS)
    end = found.end() if found else 0
    if rest[end : end + 1] != ",":
        end = rest.find(",")
    media_type, *params = (part.strip().lower() for part in unquote(rest[:end]).split(";"))
    if not media_type.startswith("image/") and media_type not in _UNTOLD:
        raise DataError(
            f"the data URL is of the type {media_type[:_SHOWN_CHARS]!r}; send a picture, as image/png or so"
        )
    payload = unquote_to_bytes(rest[end + 1 :].partition("#")[0].encode("utf-8", "surrogatepass"))
    return _decoded(payload) if "base64" in params else payload


def _with_comma(rest: str) -> str:
    """A URL that was percent-encoded as a whole, made readable.

    Raises:
        DataError: there is no comma in it either.
    """
    rest = unquote(rest)
    if "," not in rest[:_MAX_HEADER_CHARS]:
        raise DataError("the data URL has no comma before its data; write data:image/png;base64,...")
    return rest


def _decoded(payload: bytes) -> bytes:
    text = payload.translate(_STANDARD, delete=_BLANKS).rstrip(b"=")
    if len(text) % 4 == 1:
        raise DataError(f"the base64 of the data URL is cut off: {len(text)} characters are no whole number of bytes")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise DataError(f"the base64 of the data URL is broken: {error}") from error
