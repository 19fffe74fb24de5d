"""Reads the bytes out of a data URL, in every form that clients send and data sets hold.

Rule: one parser, so that what can be trained on can be asked about. Form leniently, content strictly: parameters, upper
case, line breaks, missing padding, the URL-safe alphabet and percent signs are all one picture; a character that no
form of base64 has is an error, never skipped. What the URL says about the kind of picture is not believed: the bytes
tell. No message repeats more than a few characters of the URL.
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
_COMMA: Final = "%2c"
_ESCAPES: Final = tuple(
    (escape % ord(byte), byte)
    for byte in (b"+", b"/", b"=", b"-", b"_", b" ", b"\n", b"\r", b"\t")
    for escape in (b"%%%02X", b"%%%02x")
)
"""What percent-encoding makes of the characters of base64 and of line breaks."""
_MAX_PERCENT_BYTES: Final = 2**20
_MAX_ESCAPES: Final = 2**20
_SHOWN_CHARS: Final = 24


def is_data_url(url: str) -> bool:
    """Whether `url` is a data URL at all, well-formed or not."""
    return url.lstrip()[: len(_SCHEME)].lower() == _SCHEME


def data_url_bytes(url: str) -> bytes:
    """The bytes in the data URL `url`.

    Source: RFC 2397, read as leniently as browsers do (WHATWG Fetch, "data: URL processor"), and a little more so.

    Raises:
        DataError: it has no comma, says that it is something else than a picture, or its data is broken or empty.
    """
    rest = url.strip()[len(_SCHEME) :]
    head, payload = _parted(rest)
    media_type, *params = (part.strip().lower() for part in unquote(head).split(";"))
    if not media_type.startswith("image/") and media_type not in _UNTOLD:
        raise DataError(f"the data URL is of the type {media_type[:_SHOWN_CHARS]!r}; send a picture, image/png say")
    raw = payload.partition("#")[0].encode("utf-8", "surrogatepass")
    data = base64_bytes(raw) if "base64" in params else _from_percent(raw)
    if not data:
        raise DataError("the data URL is empty behind its comma; write data:image/png;base64,... with a whole picture")
    return data


def _parted(rest: str) -> tuple[str, str]:
    """What stands before and behind the comma, which may be percent-encoded like all the rest.

    Raises:
        DataError: there is none.
    """
    start = rest[:_MAX_HEADER_CHARS]
    quoted = _HEADER.match(start)
    end = quoted.end() if quoted else 0
    if start[end : end + 1] != ",":
        end = start.find(",")
    if end != -1:
        return rest[:end], rest[end + 1 :]
    end = start.lower().find(_COMMA)
    if end == -1:
        raise DataError("the data URL has no comma before its data; write data:image/png;base64,...")
    return rest[:end], rest[end + len(_COMMA) :]


def base64_bytes(payload: bytes) -> bytes:
    """The bytes that base64 stands for, of either alphabet, with or without padding, line breaks and percent signs.

    Raises:
        DataError: it is broken or cut off.
    """
    if payload.count(b"%") > _MAX_ESCAPES:
        raise DataError("the base64 of the data URL is broken: too many percent signs; send the picture's whole base64")
    # Replaced one by one: of a picture of megabytes a general decoder would make a hundred thousand pieces first.
    for escape, byte in _ESCAPES if b"%" in payload else ():
        payload = payload.replace(escape, byte)
    text = payload.translate(_STANDARD, delete=_BLANKS).rstrip(b"=")
    if len(text) % 4 == 1:
        raise DataError(f"the base64 of the data URL is cut off: {len(text)} characters are no whole bytes; send all")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise DataError(f"the base64 of the data URL is broken: {error}; send the picture's whole base64") from error


def _from_percent(payload: bytes) -> bytes:
    if len(payload) > _MAX_PERCENT_BYTES:
        raise DataError(f"the data URL holds {len(payload)} bytes that are not base64; send it as base64")
    return unquote_to_bytes(payload)
