"""The part of OpenAI's chat request that an episode can serve.

Rule: shapes stand here, and a wrong one is a 422 that names the very place (messages.0.content.0.image_url). What is
well shaped and still cannot be honoured is refused by name; see `refusal`.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal

from annotated_types import Len
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from visionthink.core.first_look import FirstLookMode
from visionthink.engines.engine import MAX_TOP_LOG_PROBS, SamplingField
from visionthink.episodes.prompting import ViewPolicy
from visionthink.serving.answer_form import FormFields
from visionthink.serving.api_error import ApiError, bad_value
from visionthink.serving.refusal import refuse_unknown, refuse_unknown_inside

_TAG: Final = "as "  # marks the steps of an error's place that are ours and not the client's
_PART_TYPES: Final = ("text", "image_url")
_POLICY_OF_DETAIL: Final[dict[str, ViewPolicy]] = {"auto": "auto", "low": "always_low", "high": "always_high"}
_INT64: Final = 2**63
_MAX_PARTS: Final = 1024  # of a message; bounds what is said about wrong ones
_MAX_MESSAGES: Final = 1024
_MAX_STOPS: Final = 16
_MAX_STOP_CHARS: Final = 256
_MAX_CHOICES: Final = 8


class _Shape(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="allow", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class TextContent(_Shape):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(_Shape):
    """Where the picture is, and how finely it is looked at."""

    url: str
    """A data URL: `data:image/png;base64,...`."""
    detail: Literal["auto", "low", "high"] | None = None
    """`low`: the quarter view alone; `high`: the full view at once; `auto`: the model decides."""


class ImageContent(_Shape):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _part_tag(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"{_TAG}{kind}" if kind in _PART_TYPES else None


def _content_tag(value: object) -> str | None:
    if isinstance(value, str):
        return f"{_TAG}text"
    return f"{_TAG}parts" if isinstance(value, list) else None


Part = Annotated[
    Annotated[TextContent, Tag(f"{_TAG}text")] | Annotated[ImageContent, Tag(f"{_TAG}image_url")],
    Discriminator(
        _part_tag,
        custom_error_type="part_type",
        custom_error_message='a part is an object with the type "text" or "image_url"',
    ),
]
Content = Annotated[
    Annotated[str, Tag(f"{_TAG}text")] | Annotated[list[Part], Len(0, _MAX_PARTS), Tag(f"{_TAG}parts")],
    Discriminator(
        _content_tag, custom_error_type="content_type", custom_error_message="content is a text or a list of parts"
    ),
]


class ChatMessage(_Shape):
    """One message of the conversation."""

    role: str
    """`system` or `developer`, `user`, `assistant`."""
    content: Content | None = None

    @property
    def parts(self) -> tuple[TextContent | ImageContent, ...]:
        """The content as parts, whatever form it was sent in."""
        if isinstance(self.content, str):
            return (TextContent(type="text", text=self.content),)
        return tuple(self.content or ())


class StreamOptions(_Shape):
    """What a stream carries besides the answer."""

    include_usage: bool | None = None


class AdaptiveOptions(BaseModel):
    """Our own field: how the loop looks at the picture."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    policy: ViewPolicy | None = None
    """`auto`: the model decides; `always_low`, `always_high`: one turn on the quarter or the full view. None: what
    `detail` says, or else the server's default."""
    max_turns: int | None = Field(default=None, ge=1, le=8)
    """Turns in which the model may ask for another view; None: the server's default."""
    first_look: FirstLookMode | None = None
    """Under the policy `auto`: `off` begins with the quarter view, `auto` with the full one where a call is so likely
    that this is the cheaper beginning, `full` always with it. None: the server's default."""


_Stop = Annotated[str, Len(1, _MAX_STOP_CHARS)]
Stops = Annotated[
    Annotated[_Stop, Tag(f"{_TAG}text")] | Annotated[list[_Stop], Len(0, _MAX_STOPS), Tag(f"{_TAG}parts")],
    Discriminator(
        _content_tag, custom_error_type="stop_type", custom_error_message="stop is a text or a list of texts"
    ),
]


class ChatRequest(_Shape, FormFields):
    """`POST /v1/chat/completions`."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1, max_length=_MAX_MESSAGES)
    temperature: float | None = Field(default=None, ge=0, le=2)
    """0 takes the likeliest token each time; None: the server's default."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    """Only so many of the likeliest tokens may be drawn; 0 or -1: all."""
    min_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    stop: Stops | None = None
    """Texts before which the final answer ends."""
    n: int | None = Field(default=None, ge=1, le=_MAX_CHOICES)
    """Answers to give, each with an episode of its own."""
    logprobs: bool | None = None
    """Whether the log-probability of each token of the final answer is told."""
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOG_PROBS)
    max_tokens: int | None = Field(default=None, ge=1)
    """Bound of the whole answer, all turns together."""
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """The same under its newer name; where both are given, both bound."""
    seed: int | None = Field(default=None, ge=-_INT64, lt=_INT64)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    adaptive: AdaptiveOptions | None = None

    @property
    def wants_usage_chunk(self) -> bool:
        """Whether a stream ends with a chunk that holds the usage."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    @property
    def max_answer_tokens(self) -> int | None:
        """The bound of the whole answer."""
        return min((bound for bound in (self.max_tokens, self.max_completion_tokens) if bound), default=None)

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts before which the final answer ends."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def num_top_log_probs(self) -> int | None:
        """How many alternatives are told of each token; None: nothing is."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def options(self) -> AdaptiveOptions:
        """The adaptive options, given or not."""
        return self.adaptive or AdaptiveOptions()


def parse_chat_request(body: bytes | bytearray) -> ChatRequest:
    """The request in `body`.

    Raises:
        ApiError: 400 for bytes that are no JSON or a field that cannot be honoured, 422 for a wrong shape.
    """
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise _translated(error) from error
    refuse_unknown(request.model_extra)
    if request.top_logprobs and not request.logprobs:
        raise bad_value("top_logprobs needs logprobs; send logprobs: true with it", param="top_logprobs")
    if request.stream_options is not None:
        refuse_unknown_inside(request.stream_options.model_extra, "stream_options")
    for index, message in enumerate(request.messages):
        _refuse_in_message(message, f"messages.{index}")
    return request


def asked_policy(request: ChatRequest, pictures: Sequence[ImageUrl]) -> ViewPolicy | None:
    """How the request wants its `pictures` looked at; None leaves it to the server.

    Raises:
        ApiError: 400, `adaptive.policy` and the `detail` of a picture, or those of two, contradict each other.
    """
    policy = request.options.policy
    details = [picture.detail for picture in pictures if picture.detail is not None]
    # A picture without a detail is to OpenAI one with `auto`.
    if {*details} - {"auto"} and len({picture.detail or "auto" for picture in pictures}) > 1:
        raise bad_value(
            "the pictures differ in their detail, and are looked at in one way; send the same detail with each",
            param="messages",
        )
    by_detail = _POLICY_OF_DETAIL[details[0]] if details else None
    # `auto` is what many clients fill in by themselves, so the narrower wish goes before it.
    if policy is not None and by_detail not in (None, "auto", policy):
        raise bad_value(
            f"adaptive.policy is {policy!r}, but the picture's detail {details[0]!r} means {by_detail!r}; send one "
            "of the two",
            param="adaptive.policy",
        )
    return policy or by_detail


def asked_first_look(request: ChatRequest, policy: ViewPolicy) -> FirstLookMode | None:
    """Whether the request leaves the first look open; None leaves it to the server.

    Raises:
        ApiError: 400, it does, and `policy` fixes the view.
    """
    mode = request.options.first_look
    if policy != "auto" and mode not in (None, "off"):
        raise bad_value(
            f"adaptive.first_look is {mode!r}, but the policy {policy!r} fixes the view; leave it out, or send "
            "adaptive.policy 'auto'",
            param="adaptive.first_look",
        )
    return mode


def client_name(name: SamplingField) -> str:
    """The request's field that a sampling's field comes from."""
    return {"num_top_log_probs": "logprobs", "form": "response_format"}.get(name, name)


def _refuse_in_message(message: ChatMessage, where: str) -> None:
    refuse_unknown_inside(message.model_extra, where)
    if not isinstance(message.content, str):
        for index, part in enumerate(message.content or ()):
            place = f"{where}.content.{index}"
            refuse_unknown_inside(part.model_extra, place)
            if isinstance(part, ImageContent):
                refuse_unknown_inside(part.image_url.model_extra, f"{place}.image_url")


def _translated(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False)[0]
    kind, value, text = first["type"], first["input"], first["msg"]
    if kind == "json_invalid":
        return ApiError(400, f"the body is no JSON: {text}", code="invalid_json")
    where = _where(first["loc"])
    if kind == "part_type" and isinstance(value, dict):
        where = f"{where}.type"
        text = f'send "text" or "image_url", not {repr(value.get("type"))[:34]}'
    elif kind == "model_type":
        is_url = where.endswith(".image_url")
        text = 'send an object: {"url": "data:image/png;base64,..."}' if is_url else "send an object"
    return ApiError(422, f"{where or 'body'}: {text}", code="invalid_type", param=where or None)


def _where(steps: Iterable[int | str]) -> str:
    """The place in the client's own words."""
    return ".".join(str(step)[:64] for step in steps if not str(step).startswith(_TAG))
