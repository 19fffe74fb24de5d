"""The engine behind any OpenAI-compatible server: vLLM in the cluster, or a provider outside.

Rule: pictures travel as PNG data URLs of exactly the view's pixels, so the server's processor has nothing left to
resize and counts the same visual tokens as we do. Requests run concurrently up to the connection limit; each fails for
itself.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Sequence

from openai.types.chat import (
    ChatCompletion,
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
)
from PIL import Image

from visionthink.core.episode import BackendFailed, FinishReason, ModelReply
from visionthink.core.geometry import View
from visionthink.core.message import Message, Role, TextPart
from visionthink.engines.chat_client import ChatClient, ChatSampling
from visionthink.engines.engine import Request
from visionthink.engines.view_cache import ViewCache
from visionthink.errors import BackendError
from visionthink.picture import cut, encode_png


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

    async def generate(self, requests: Sequence[Request]) -> list[ModelReply | BackendFailed]:
        """One event per request, in order; all in flight at once, up to the connection limit."""
        return list(await asyncio.gather(*map(self._event, requests)))

    async def is_ready(self) -> bool:
        """Whether the server answers and lists the model."""
        return await self._client.serves_model()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _event(self, request: Request) -> ModelReply | BackendFailed:
        # Cutting and compressing a view takes long enough to stall every other request of this loop.
        messages = await asyncio.to_thread(self._messages, request)
        sampling = ChatSampling(
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            max_tokens=request.sampling.max_tokens,
            seed=request.sampling.seed,
        )
        start_s = self._clock()
        try:
            completion = await self._client.complete(messages, sampling)
        except BackendError as error:
            return BackendFailed(error=str(error))
        return _event(completion, latency_s=self._clock() - start_s)

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
    return "data:image/png;base64," + base64.b64encode(encode_png(cut(picture, view))).decode("ascii")


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
            return BackendFailed(
                error=f"model {completion.model!r}: the server parsed the tool call itself; switch its tool parser off "
                "(vLLM: no --enable-auto-tool-choice), the episode reads the text"
            )
        case other:
            return BackendFailed(error=f"model {completion.model!r} ended with {other!r} instead of a reply")
    return ModelReply(
        text=choice.message.content or "",
        finish_reason=reason,
        num_prompt_tokens=usage.prompt_tokens if usage else 0,
        num_reply_tokens=usage.completion_tokens if usage else 0,
        latency_s=latency_s,
    )
