"""The part of OpenAI's chat request that an episode can serve, and what is refused.

Rule: what a client asks for is done or refused, never silently left out. A field that would change the answer and that
the loop has no place for (tools, several choices, stop strings ...) is a clear 400; fields without influence on the
answer (user, metadata, store ...) are let pass.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from visionthink.episodes.prompting import ViewPolicy
from visionthink.serving.api_error import ApiError

_NEUTRAL: Final[dict[str, tuple[object, ...]]] = {
    "n": (1,),
    "stop": ([],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "response_format": ({"type": "text"},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "audio": (),
    "prediction": (),
}
"""Fields with influence that the loop has no place for, and the values (besides null) that ask for nothing."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class TextContent(_Part):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(_Part):
    """Where the picture is."""

    url: str


class ImageContent(_Part):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


Content = Annotated[TextContent | ImageContent, Field(discriminator="type")]


class ChatMessage(_Part):
    """One message of the conversation."""

    role: str
    content: str | list[Content] | None = None


class StreamOptions(_Part):
    """What a stream carries besides the answer."""

    include_usage: bool = False


class AdaptiveOptions(BaseModel):
    """Our own field: how the loop looks at the picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: ViewPolicy = "auto"


class ChatRequest(BaseModel):
    """`POST /v1/chat/completions`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    adaptive: AdaptiveOptions = AdaptiveOptions()

    @property
    def wants_usage_chunk(self) -> bool:
        """Whether a stream ends with a chunk that holds the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def max_reply_tokens(self) -> int | None:
        """The token limit under its new name, or under its old one."""
        return self.max_completion_tokens or self.max_tokens


def parse_chat_request(body: bytes) -> ChatRequest:
    """The request in `body`.

    Raises:
        ApiError: 400 for bytes that are no JSON or a field that cannot be honoured, 422 for a wrong shape.
    """
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise _translated(error) from error
    for name, value in (request.model_extra or {}).items():
        if name in _NEUTRAL and value is not None and value not in _NEUTRAL[name]:
            raise ApiError(
                400, f"{name} is not supported by this model; leave it out", code="unsupported_parameter", param=name
            )
    return request


def _translated(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return ApiError(400, f"the body is no JSON: {first['msg']}", code="invalid_json")
    where = ".".join(str(step) for step in first["loc"]) or None
    return ApiError(422, f"{where or 'body'}: {first['msg']}", code="invalid_type", param=where)
