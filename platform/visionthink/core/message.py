"""What a model is asked and what it said, as plain values.

Rule: a message names the *view* it shows, never pixels. Drivers turn views into pixels, so one recorded conversation
can be replayed by every driver and compared.
"""

from dataclasses import dataclass
from enum import StrEnum

from visionthink.core.geometry import View
from visionthink.core.json_value import Json

IMAGE_MARKER = "<image>"
"""Stands for a view in the texts of protocols and tools, and in questions."""


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """A piece of text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """A view of one of the episode's pictures, at the place where the model sees it."""

    view: View


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[TextPart | ImagePart, ...]
    token_ids: tuple[int, ...] | None = None
    """The model's own ids of an assistant message, without the end-of-turn token; ``None`` when unknown.

    A trainer uses them as they are: tokenising the text again may yield other ids than the model wrote. Their
    log-probabilities stand in the trace: its turns are the assistant messages, in order.
    """

    @property
    def text(self) -> str:
        """All text of the message, views left out."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def views(self) -> tuple[View, ...]:
        """Views that the message shows, in order."""
        return tuple(part.view for part in self.parts if isinstance(part, ImagePart))


def view_to_dict(view: View) -> dict[str, Json]:
    """A view as JSON: ``width``, ``height``, ``visual_tokens`` and ``box`` (four numbers, or null for all of it).

    ``picture`` stands there for a view of another picture than the first.
    """
    box: list[Json] | None = None
    if view.box is not None:
        box = [view.box.left, view.box.top, view.box.right, view.box.bottom]
    found: dict[str, Json] = {
        "width": view.size.width,
        "height": view.size.height,
        "visual_tokens": view.visual_tokens,
        "box": box,
    }
    return found | {"picture": view.picture} if view.picture else found


def message_to_dict(message: Message) -> dict[str, Json]:
    """A message as JSON: ``role``, ``parts`` (``{"text"}`` or ``{"view"}``) and ``token_ids``."""
    parts: list[Json] = [
        {"text": part.text} if isinstance(part, TextPart) else {"view": view_to_dict(part.view)}
        for part in message.parts
    ]
    token_ids: list[Json] | None = None if message.token_ids is None else [*message.token_ids]
    return {"role": message.role.value, "parts": parts, "token_ids": token_ids}
