"""What the endpoint answers, for the OpenAPI document.

Rule: the document is what is sent: tests hold every kind of response against these shapes, and no field is left open.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict

from visionthink.core.episode import FinishReason, Outcome, Signal
from visionthink.episodes.prompting import ViewPolicy
from visionthink.serving.chat_request import ChatRequest

CHAT_PATH: Final = "/v1/chat/completions"
_REFERENCE: Final = "#/components/schemas/{model}"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ErrorDetail(_Answer):
    """What went wrong."""

    message: str
    """What to do about it, too."""
    type: str
    param: str | None
    """The field at fault."""
    code: str | None
    """The same for programs."""


class ErrorBody(_Answer):
    """Every response that is no success, and every error in a stream."""

    error: ErrorDetail


class ViewShape(_Answer):
    """A view that the model was shown."""

    width: int
    height: int
    visual_tokens: int
    box: tuple[int, int, int, int] | None
    """Left, top, right and bottom in the original; null for all of it."""
    picture: int = 0
    """Which of the conversation's pictures it is a view of; left out for the first."""


class CallShape(_Answer):
    """A tool that the model called."""

    name: str
    arguments: dict[str, Any]


class TurnShape(_Answer):
    """One reply of the model."""

    turn: int
    forced: bool
    """Whether the final answer was demanded."""
    signal: Signal
    call: CallShape | None
    """The call that was read, granted or not."""
    error: str | None
    """What was wrong with it."""
    view: ViewShape | None
    """The view that a call was granted; of several pictures the first one's."""
    views: list[ViewShape] | None = None
    """All of them, where a call was granted several; else left out."""
    reply: str
    finish_reason: FinishReason
    num_prompt_tokens: int
    num_reply_tokens: int
    latency_s: float


class FirstLookShape(_Answer):
    """How the first view was chosen."""

    shortcut: bool
    """Whether it is the full view."""
    call_probability: float | None
    """As forecast; null where the full view was demanded."""
    threshold: float | None
    """The probability above which the full view is taken."""


class Adaptive(_Answer):
    """How the loop came to its answer."""

    policy: ViewPolicy
    outcome: Outcome
    answer: str | None
    """The answer alone; null where there is none."""
    error: str | None
    """What did not fit, where the context was full before the answer."""
    first_look: FirstLookShape | None
    """Null where nothing was decided: the view was fixed, the shortcut off, or the model has no forecast."""
    resized: bool
    turns: int
    views: list[ViewShape]
    visual_tokens: int
    """Of all views, each counted once."""
    latency_s: float
    """Seconds that the engine took, all turns together."""
    trace: list[TurnShape]


class Usage(_Answer):
    """Tokens, summed over all turns."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(_Answer):
    """The final reply as the model wrote it."""

    role: Literal["assistant"]
    content: str


class TokenShape(_Answer):
    """A token and how likely it was."""

    token: str
    logprob: float
    bytes: list[int] | None


class DrawnTokenShape(TokenShape):
    """A token of the answer."""

    top_logprobs: list[TokenShape]


class LogProbs(_Answer):
    """The tokens of the final reply."""

    content: list[DrawnTokenShape]


class Choice(_Answer):
    """One answer."""

    index: int
    message: AnswerMessage
    logprobs: LogProbs | None
    finish_reason: Literal["stop", "length"]
    adaptive: Adaptive | None = None
    """How the loop came to this answer, where there are several."""


class ChatCompletion(_Answer):
    """A whole response."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    adaptive: Adaptive | None = None
    """How the loop came to its answer, where there is one."""


class Delta(_Answer):
    """What a chunk adds to the message."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(_Answer):
    """What a chunk adds to an answer."""

    index: int
    delta: Delta
    logprobs: LogProbs | None
    finish_reason: Literal["stop", "length"] | None


class ChatCompletionChunk(_Answer):
    """One event of a stream; `adaptive` and the log-probabilities come with the end of a choice."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    adaptive: Adaptive | None = None


_ERRORS: Final[Mapping[int, str]] = {
    400: "The request makes no sense here: a field that has no place, a picture that is none, a question too long.",
    401: "The API key is missing or not one of this server's.",
    404: "Another model is served here.",
    408: "The upload took too long.",
    413: "The request or its picture is too large.",
    415: "The body is compressed.",
    422: "This is not shaped like a chat request.",
    429: "Too many requests, of this key or of all; try again after `retry-after`.",
    500: "A bug of ours.",
    502: "The engine refused what it was asked; trying again is of no use.",
    503: "The engine is out of order or the server shuts down; try again after `retry-after`.",
    504: "It took too long.",
}


def chat_responses() -> dict[int | str, dict[str, object]]:
    """The responses of the chat endpoint, as FastAPI takes them."""
    found: dict[int | str, dict[str, object]] = {
        status: {"model": ErrorBody, "description": meaning} for status, meaning in _ERRORS.items()
    }
    stream = {"schema": {"$ref": _REFERENCE.format(model="ChatCompletionChunk")}}
    found[200] = {
        "model": ChatCompletion,
        "description": "The answer; with `stream`, its chunks as server-sent events.",
        "content": {"text/event-stream": stream},
    }
    return found


def document(app: FastAPI) -> None:
    """Let `app` describe the body of a chat request, which it reads itself, and the chunks of a stream."""

    def openapi() -> dict[str, object]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
            shapes = schema.setdefault("components", {}).setdefault("schemas", {})
            for model in (ChatRequest, ChatCompletionChunk):
                own = model.model_json_schema(ref_template=_REFERENCE)
                shapes.update(own.pop("$defs", {}))
                shapes[model.__name__] = own
            content = {"application/json": {"schema": {"$ref": _REFERENCE.format(model="ChatRequest")}}}
            schema["paths"][CHAT_PATH]["post"]["requestBody"] = {"required": True, "content": content}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
