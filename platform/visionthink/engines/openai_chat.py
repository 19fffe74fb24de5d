"""The engine behind any OpenAI-compatible server: vLLM in the cluster, or a provider outside.

Rule: pictures travel as PNG data URLs of exactly the view's pixels, so the server's processor has nothing left to
resize and counts the same visual tokens as we do; the pixels are stored, since packing them would cost either side more
than sending them does. A request is encoded when a connection is free for it; one that waits costs no more than its
decoded picture. Each request fails for itself.
"""

import base64
import re
import time
from collections.abc import Callable
from typing import Final

from openai.types.chat import (
    ChatCompletion,
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
)
from PIL import Image

from visionthink.core.episode import BackendFailed, Event, FinishReason, ModelReply, NoRoom
from visionthink.core.geometry import View
from visionthink.core.message import Message, Role, TextPart
from visionthink.engines.chat_client import ChatClient, ChatError, ChatSampling
from visionthink.engines.engine import Request
from visionthink.engines.view_cache import ViewCache
from visionthink.errors import EngineError
from visionthink.picture import cut, encode_stored_png

_NO_ROOM_STATUS: Final = frozenset({400, 413, 422})
_NO_ROOM: Final = re.compile(
    r"context[ _]length|maximum (?:context|model) length|max_model_len|longer than the maximum|too many tokens"
    r"|context window|max_(?:completion_)?tokens.{0,40}too large",
    re.IGNORECASE,
)
"""How vLLM, SGLang, TGI and OpenAI say that prompt and reply do not fit the model's context."""


class OpenAIChatEngine:
    """Replies from one model of one server."""

    def __init__(
        self,
        client: ChatClient,
        *,
        max_url_bytes: int = 256 * 2**20,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Ask through `client`; keep at most `max_url_bytes` of encoded views, pictures included."""
        self._client = client
        self._clock = clock
        self._urls: ViewCache[str] = ViewCache(_data_url, size_bytes=len, max_bytes=max_url_bytes)

    @property
    def model(self) -> str:
        """Name of the model as the server knows it."""
        return self._client.model

    async def reply(self, request: Request) -> Event:
        """The server's reply. As many are in flight as there are connections; the others wait unencoded."""
        sampling = ChatSampling(
            temperature=0.0 if request.sampling.is_greedy else request.sampling.temperature,
            top_p=request.sampling.top_p,
            max_tokens=request.sampling.max_tokens,
            seed=request.sampling.seed,
        )
        start_s = self._clock()

        def messages() -> list[ChatCompletionMessageParam]:
            nonlocal start_s
            start_s = self._clock()  # the wait for a connection is ours, not the model's
            return self._messages(request)

        try:
            completion = await self._client.complete(messages, sampling, session=request.session)
        except ChatError as error:
            return _kept_away(error)
        return _event(completion, latency_s=self._clock() - start_s)

    async def is_ready(self) -> bool:
        """Whether the server answers and lists the model."""
        return await self._client.serves_model()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _messages(self, request: Request) -> list[ChatCompletionMessageParam]:
        return [self._message(message, request.picture) for message in request.messages]

    def _message(self, message: Message, picture: Image.Image) -> ChatCompletionMessageParam:
        match message.role:
            case Role.SYSTEM:
                return {"role": "system", "content": message.text}
            case Role.ASSISTANT:
                return {"role": "assistant", "content": message.text}
            case Role.USER:
                return {"role": "user", "content": self._content(message, picture)}

    def _content(self, message: Message, picture: Image.Image) -> str | list[ChatCompletionContentPartParam]:
        if not message.views:
            return message.text
        parts: list[ChatCompletionContentPartParam] = []
        for part in message.parts:
            if isinstance(part, TextPart):
                parts.append({"type": "text", "text": part.text})
            else:
                parts.append({"type": "image_url", "image_url": {"url": self._urls.get(picture, part.view)}})
        return parts


def _data_url(picture: Image.Image, view: View) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_stored_png(cut(picture, view))).decode("ascii")


def _kept_away(error: ChatError) -> NoRoom | BackendFailed:
    """What an error means for the one request.

    Raises:
        EngineError: it would meet every other request as well.
    """
    if error.is_of_service:
        raise EngineError(f"{error}; check address, model name and key", retryable=False) from error
    if error.status in _NO_ROOM_STATUS and _NO_ROOM.search(str(error)):
        return NoRoom(error=str(error))
    return BackendFailed(error=str(error), retryable=error.retryable)


def _event(completion: ChatCompletion, *, latency_s: float) -> ModelReply | BackendFailed:
    if not completion.choices:
        return BackendFailed(error=f"model {completion.model!r} gave no choice at all")
    choice, usage = completion.choices[0], completion.usage
    match choice.finish_reason:
        case "stop":
            reason = FinishReason.STOP
        case "length":
            reason = FinishReason.LENGTH
        case "tool_calls" | "function_call":
            raise EngineError(
                f"model {completion.model!r}: the server parsed the tool call itself; switch its tool parser off "
                "(vLLM: no --enable-auto-tool-choice), the episode reads the text",
                retryable=False,
            )
        case other:
            # A content filter, say: the same request would meet it again.
            return BackendFailed(
                error=f"model {completion.model!r} ended with {other!r} instead of a reply", retryable=False
            )
    return ModelReply(
        text=choice.message.content or "",
        finish_reason=reason,
        num_prompt_tokens=usage.prompt_tokens if usage else 0,
        num_reply_tokens=usage.completion_tokens if usage else 0,
        latency_s=latency_s,
    )
