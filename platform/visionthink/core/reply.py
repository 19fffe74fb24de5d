"""What a model's reply means.

Rule: parsing never fails. Whatever a model writes is one of five kinds of reply, and what is wrong with a call is a
sentence that the model gets to read, the same in every driver. Checking the call itself is the tool box's business.

How tags are read:

- Text between ``<think>`` and ``</think>`` is a monologue: tags in it count only when there are none outside of it.
- An answer is valid when it is closed and not blank. The last valid one counts.
- A reply that holds a call and an answer is a call, unless a valid answer follows the call: a model that goes on to
  answer no longer needs the tool, while an answer written before a call was given up by it.
- Without a call, text after an unclosed ``<answer>`` counts as the answer (the released judge reads it so too).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from visionthink.core.json_value import Json, JsonObject

CALL_TAGS = ("<tool_call>", "</tool_call>")
ANSWER_TAGS = ("<answer>", "</answer>")
THINK_TAGS = ("<think>", "</think>")
"""What opens and closes each part of a reply."""

_MAX_CALL_CHARS = 4096
"""A longer call is refused unread: no tool needs more, and a long one is a model in a loop."""

_MAX_CALL_DEPTH = 32
"""Deeper nesting is refused: no tool needs it, and a call is kept in the trace, which must be written down later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReply:
    """The model answered."""

    answer: str
    """What stands inside the tag, stripped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReply:
    """The model called a function. The name and the arguments are not checked yet."""

    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class BadCallReply:
    """The model tried to call a function, and no call can be read."""

    error: str
    """A clause without a full stop, fit for the protocol's ``tool_error`` text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UntaggedReply:
    """The model wrote something that is neither an answer nor a call."""

    text: str
    """The whole reply, stripped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyReply:
    """The model wrote nothing but white space."""


Reply: TypeAlias = AnswerReply | CallReply | BadCallReply | UntaggedReply | EmptyReply


def parse_reply(text: str) -> Reply:
    """Say what ``text`` is. Never raises."""
    if not text.strip():
        return EmptyReply()
    outside = _without_monologues(text)
    found = _parse_tags(outside)
    if found is None and len(outside) != len(text):
        found = _parse_tags(text)
    return found or UntaggedReply(text=text.strip())


def closed_answer(text: str) -> str | None:
    """The last valid answer in ``text``, whatever else it holds; ``None`` when there is none."""
    found = _last_answer(_without_monologues(text)) or _last_answer(text)
    return found.answer if found else None


def render_call(name: str, arguments: JsonObject) -> str:
    """A call as a model is taught to write it. ``parse_reply`` gives the same call back.

    Raises:
        ValueError: an argument is NaN or infinite, which JSON cannot hold.
    """
    body = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False, allow_nan=False)
    # A tag inside an argument would end the call; only strings can hold "<", and there the escape means the same.
    body = body.replace("<", "\\u003c")
    return f"{CALL_TAGS[0]}\n{body}\n{CALL_TAGS[1]}"


class _Span(NamedTuple):
    inner: str
    start: int
    end: int
    """Behind the closing tag; behind the opening tag when there is none."""
    closed: bool


class _Answer(NamedTuple):
    answer: str
    start: int


def _spans(text: str, opening: str, closing: str) -> Iterator[_Span]:
    """Tag pairs from left to right; an unclosed last one reaches to the end. Linear in the length of ``text``."""
    position = 0
    while (start := text.find(opening, position)) != -1:
        inner = start + len(opening)
        end = text.find(closing, inner)
        if end == -1:
            yield _Span(text[inner:], start, inner, closed=False)
            return
        position = end + len(closing)
        yield _Span(text[inner:end], start, position, closed=True)


def _without_monologues(text: str) -> str:
    """``text`` with each closed monologue cut out."""
    kept, position = [], 0
    for span in _spans(text, *THINK_TAGS):
        if span.closed:
            kept.append(text[position : span.start])
            position = span.end
    return "".join((*kept, text[position:]))


def _last_answer(text: str) -> _Answer | None:
    """The last closed and not blank answer. Of nested openings the innermost counts, as in the released split."""
    answers = [
        _Answer(span.inner.rpartition(ANSWER_TAGS[0])[2].strip(), span.start)
        for span in _spans(text, *ANSWER_TAGS)
        if span.closed
    ]
    return next((answer for answer in reversed(answers) if answer.answer), None)


def _parse_tags(text: str) -> Reply | None:
    calls = list(_spans(text, *CALL_TAGS))
    answer = _last_answer(text)
    if answer is not None and (not calls or answer.start >= calls[-1].end):
        return AnswerReply(answer=answer.answer)
    if calls:
        return _parse_calls(calls)
    _, opened, unclosed = text.rpartition(ANSWER_TAGS[0])
    is_answer = opened and unclosed.strip() and ANSWER_TAGS[1] not in unclosed
    return AnswerReply(answer=unclosed.strip()) if is_answer else None


def _parse_calls(calls: Sequence[_Span]) -> CallReply | BadCallReply:
    if len(calls) > 1:
        return BadCallReply(error=f"{len(calls)} calls in one reply, only one call is allowed per step")
    call = calls[0]
    if not call.closed:
        return BadCallReply(error="the <tool_call> tag is never closed")
    if len(call.inner) > _MAX_CALL_CHARS:
        return BadCallReply(error=f"the call is longer than {_MAX_CALL_CHARS} characters")
    objects, is_broken = _json_objects(call.inner)
    if is_broken:
        # What was read may be an inner part of the broken object; only a whole call counts then.
        objects = [found for found in objects if "name" in found]
    if len(objects) > 1:
        return BadCallReply(error=f"{len(objects)} JSON objects in one call, only one call is allowed per step")
    if not objects:
        return BadCallReply(error="the JSON object is broken" if is_broken else "the call holds no JSON object")
    return _as_call(objects[0])


def _as_call(found: dict[str, Json]) -> CallReply | BadCallReply:
    name, arguments = found.get("name"), found.get("arguments")
    if not isinstance(name, str):
        return BadCallReply(error='the JSON object has no text under "name"')
    if not isinstance(arguments, dict):
        return BadCallReply(error='the JSON object has no object under "arguments"')
    if not _can_be_kept(found):
        return BadCallReply(error="the JSON object is nested too deep, or holds half a character or an endless number")
    return CallReply(name=name, arguments=arguments)


def _can_be_kept(found: dict[str, Json]) -> bool:
    """Whether a trace that holds this can be written down, sent and read again by anyone."""
    if _is_deep(found, _MAX_CALL_DEPTH):
        return False
    try:
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # "1e999" is read as infinity, "\ud800" as half a character
        return False
    return True


def _is_deep(value: Json, limit: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return limit == 0 or any(_is_deep(item, limit - 1) for item in inner)


def _json_objects(text: str) -> tuple[list[dict[str, Json]], bool]:
    """JSON objects that stand in ``text``, prose around them ignored, and whether a brace opened none."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, strict=False)
    objects: list[dict[str, Json]] = []
    is_broken, position = False, 0
    while (position := text.find("{", position)) != -1:
        try:
            value, position = decoder.raw_decode(text, position)
        # A RecursionError is nesting by the thousand.
        except (ValueError, RecursionError):
            is_broken, position = True, position + 1
        else:
            objects.append(value)
    return objects, is_broken


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
