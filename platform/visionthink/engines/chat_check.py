"""Whether what a server sent is a chat completion at all.

Rule: whatever is read of an answer is looked at here first, and fields that nobody reads may be missing, since few
servers write all of OpenAI's. What is no completion is an error of the server, never one of ours.
"""

import json
from collections.abc import Mapping
from typing import cast

from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from pydantic import ValidationError

from visionthink.core.json_value import Json
from visionthink.engines.chat_http import StreamError


def read_completion(answer: bytes) -> ChatCompletion:
    """The completion.

    Raises:
        ValueError: it is none.
    """
    try:
        found = ChatCompletion.model_validate_json(answer)  # much faster than the lenient way, and the usual case
    except ValidationError:
        found = ChatCompletion.construct(None, **_object(answer, "chat completion"))
    choices: object = found.choices
    is_sound = isinstance(choices, list) and all(
        isinstance(message := getattr(choice, "message", None), ChatCompletionMessage)
        and isinstance(message.content, str | None)
        for choice in choices
    )
    if not is_sound or not _counts(found.usage):
        raise _no("chat completion", answer)
    return found


def read_chunk(event: bytes) -> ChatCompletionChunk:
    """The chunk of a stream.

    Raises:
        ValueError: it is none.
        StreamError: it is an error that the server met.
    """
    try:
        found = ChatCompletionChunk.model_validate_json(event)
    except ValidationError:
        found = ChatCompletionChunk.construct(None, **_object(event, "chunk of a chat completion"))
    if error := cast("Json", (found.model_extra or {}).get("error")):
        raise StreamError(error)
    choices: object = found.choices
    is_sound = isinstance(choices, list) and all(
        isinstance(delta := getattr(choice, "delta", None), ChoiceDelta) and isinstance(delta.content, str | None)
        for choice in choices
    )
    if not is_sound or not _counts(found.usage):
        raise _no("chunk of a chat completion", event)
    return found


def lists_model(answer: bytes, model: str) -> bool:
    """Whether a list of models names one.

    Raises:
        ValueError: it is no list of models.
    """
    listed = _object(answer, "list of models").get("data")
    if not isinstance(listed, list):
        raise _no("list of models", answer)
    return any(isinstance(one, Mapping) and one.get("id") == model for one in listed)


def _object(text: bytes, what: str) -> dict[str, Json]:
    try:
        found: Json = json.loads(text)
    except ValueError as error:
        raise _no(what, text) from error
    if not isinstance(found, dict):
        raise _no(what, text)
    return found


def _no(what: str, text: bytes) -> ValueError:
    return ValueError(f"this is no {what}: {text[:200].decode(errors='replace')!r}")


def _counts(usage: object) -> bool:
    """Whether the tokens that a server tells, if it tells them, are numbers."""
    names = ("prompt_tokens", "completion_tokens")
    return usage is None or all(isinstance(getattr(usage, name, None), int) for name in names)
