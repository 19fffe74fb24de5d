"""Takes question, pictures and all that goes before them out of a chat request.

Rule: what has a meaning here is kept, everything else gets a 400 that says what to send. System text is joined to the
protocol's own. Earlier turns are kept as text. The last message is the question, and the pictures, wherever in the
conversation they were sent, are shown with it: there their views can be looked at again.

One picture is shown where the protocol puts it, as in training. Several stand in the order in which they were sent,
those of earlier messages first, and those of the last one where they stood among its texts, or where `<image>` stands
in these.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from visionthink.core.message import IMAGE_MARKER, Message, Role, TextPart
from visionthink.serving.api_error import bad_value
from visionthink.serving.chat_request import ChatMessage, ImageContent, ImageUrl, TextContent
from visionthink.serving.turns import Preamble

# The tokens that structure a conversation (<|im_end|> and so on), and the private-use letter that marks replies.
_CONTROL: Final = re.compile(r"<\|[^|<>\s]{1,64}\|>|\ue000")
_SYSTEM_ROLES: Final = ("system", "developer")
_ROLES: Final = {"user": Role.USER, "assistant": Role.ASSISTANT}


class SentPicture(NamedTuple):
    """A picture and the place where it stands in the request."""

    url: ImageUrl
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What a request asks."""

    question: str
    """With one `<image>` per picture, or with none: then the protocol says where they go."""
    pictures: tuple[SentPicture, ...]
    preamble: Preamble


def conversation_of(messages: Sequence[ChatMessage]) -> Conversation:
    """The conversation that `messages` hold.

    Raises:
        ApiError: 400, it cannot be held here; the message says what to send.
    """
    num_system = next((i for i, message in enumerate(messages) if message.role not in _SYSTEM_ROLES), len(messages))
    last = len(messages) - 1
    for index, message in enumerate(messages[num_system:], start=num_system):
        _check_role(message.role, f"messages.{index}.role")
    if num_system > last or messages[last].role != "user":
        raise bad_value("the last message is not the user's; end with the question", param=f"messages.{last}.role")
    texts = [_text(message, f"messages.{index}") for index, message in enumerate(messages)]
    pictures = _pictures(messages)
    if not texts[last]:
        raise bad_value("the last message holds no question; add a text part", param=f"messages.{last}.content")
    if not pictures and IMAGE_MARKER in texts[last]:
        raise bad_value(f"the question says {IMAGE_MARKER}, but there is no picture; add one", param="messages")
    question = _placed(messages[last], len(pictures)) if len(pictures) > 1 else texts[last]
    system = "\n\n".join(filter(None, texts[:num_system])) or None
    earlier = tuple(
        Message(role=_ROLES[message.role], parts=(TextPart(text=text),))
        for message, text in zip(messages[num_system:last], texts[num_system:last], strict=True)
        if text
    )
    return Conversation(question=question, pictures=pictures, preamble=Preamble(system=system, earlier=earlier))


def _check_role(role: str, where: str) -> None:
    if role in _SYSTEM_ROLES:
        raise bad_value("a system message stands behind other messages; put it first", param=where)
    if role not in _ROLES:
        raise bad_value(
            f"the role {role[:32]!r} has no meaning here (the model calls its own tools only); send system, user and "
            "assistant messages",
            param=where,
        )


def _text(message: ChatMessage, where: str) -> str:
    text = "\n".join(part.text for part in message.parts if isinstance(part, TextContent)).strip()
    if found := _CONTROL.search(text):
        raise bad_value(f"the text holds the control token {found.group()!r}; remove it", param=f"{where}.content")
    return text


def _placed(message: ChatMessage, num_pictures: int) -> str:
    """The question, with a marker for each picture that stands behind a text of it, and for all others before."""
    texts = [part.text for part in message.parts if isinstance(part, TextContent)]
    pieces = [part.text if isinstance(part, TextContent) else IMAGE_MARKER for part in message.parts]
    if IMAGE_MARKER in "".join(texts) or pieces[len(pieces) - len(texts) :] == texts:
        return "\n".join(texts).strip()
    num_earlier = num_pictures - (len(pieces) - len(texts))
    return "\n".join([IMAGE_MARKER] * num_earlier + pieces).strip()


def _pictures(messages: Sequence[ChatMessage]) -> tuple[SentPicture, ...]:
    found = [
        (message.role, SentPicture(part.image_url, f"messages.{index}.content.{place}.image_url"))
        for index, message in enumerate(messages)
        for place, part in enumerate(message.parts)
        if isinstance(part, ImageContent)
    ]
    for role, picture in found:
        if role != "user":
            raise bad_value(f"the {role} message holds a picture; send it in a user message", param=picture.where)
    return tuple(picture for _, picture in found)
