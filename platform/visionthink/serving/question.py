"""Takes question and picture out of a chat request.

Rule: an episode has one question about one picture, which travels inside the request. Nothing is fetched: a server that
opens URLs for strangers can be made to call on its own network. Everything else gets a 400 that says what to send.
"""

import base64
import re
from typing import Final

from PIL import Image

from visionthink.errors import DataError
from visionthink.picture import decode, size_of
from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_request import ChatMessage, ChatRequest, ImageContent, TextContent

_DATA_URL: Final = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
_CONTROL: Final = re.compile(r"<\|[^|<>\s]{1,64}\|>")  # the tokens that structure a conversation: <|im_end|> and so on
_NO_LIMIT: Final = 2**62


def question_text(request: ChatRequest) -> str:
    """The question: all text of the one user message.

    Raises:
        ApiError: 400, the conversation is not one user message with one text and one picture.
    """
    text = "\n".join(part.text for part in _parts(_user_message(request)) if isinstance(part, TextContent)).strip()
    if not text:
        raise _bad("the message holds no question; add a text part", param="messages")
    if found := _CONTROL.search(text):
        raise _bad(f"the question holds the control token {found.group()!r}; remove it", param="messages")
    return text


def picture_bytes(request: ChatRequest) -> bytes:
    """The encoded picture.

    Raises:
        ApiError: 400, there is not exactly one picture, or it is not a base64 data URL.
    """
    pictures = [part for part in _parts(_user_message(request)) if isinstance(part, ImageContent)]
    if len(pictures) != 1:
        raise _bad(
            f"the message holds {len(pictures)} pictures; this model answers one question about exactly one picture, "
            "sent as an image_url part",
            param="messages",
        )
    url = pictures[0].image_url.url
    found = _DATA_URL.match(url)
    if found is None:
        raise _bad(
            f"the picture's URL starts with {url[:16]!r}; remote pictures are not fetched, send the picture itself as "
            "data:image/png;base64,...",
            param="messages",
        )
    try:
        return base64.b64decode(url[found.end() :], validate=True)
    except ValueError as error:  # binascii.Error, or a plain one for letters outside of ASCII
        raise _bad(f"the picture's base64 is broken: {error}", param="messages") from error


def decoded(data: bytes, *, max_pixels: int) -> Image.Image:
    """The picture, upright and RGB.

    Raises:
        ApiError: 413 for more than `max_pixels`, 400 for bytes that are no picture.
    """
    try:
        size = size_of(data, max_pixels=_NO_LIMIT)
        if size.pixels > max_pixels:
            raise ApiError(
                413,
                f"the picture has {size.width} x {size.height} pixels, more than {max_pixels}; send a smaller one",
                code="picture_too_large",
                param="messages",
            )
        return decode(data, max_pixels=max_pixels)
    except DataError as error:
        raise ApiError(400, str(error), code="invalid_image", param="messages") from error


def _user_message(request: ChatRequest) -> ChatMessage:
    roles = [message.role for message in request.messages]
    if roles != ["user"]:
        raise _bad(
            f"the conversation has the roles {roles}; this model takes one user message (its prompt is fixed, and "
            "earlier turns are not kept)",
            param="messages",
        )
    return request.messages[0]


def _parts(message: ChatMessage) -> list[TextContent | ImageContent]:
    if isinstance(message.content, str):
        return [TextContent(type="text", text=message.content)]
    return list(message.content or [])


def _bad(message: str, *, param: str) -> ApiError:
    return ApiError(400, message, code="invalid_value", param=param)
