"""The engine behind any OpenAI-compatible server: vLLM in the cluster, or a provider outside.

Rule: pictures travel as PNG data URLs of exactly the view's pixels, so the server's processor has nothing left to
resize and counts the same visual tokens as we do; the pixels are stored, since packing them would cost either side more
than sending them does, and each view is kept as the bytes in which it goes out. A request is encoded when a connection
is free for it; one that waits costs no more than its decoded picture. Each request fails for itself.
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from contextvars import copy_context
from functools import partial
from typing import Final, assert_never

from PIL import Image

from visionthink.core.episode import BackendFailed, Event, NoRoom
from visionthink.core.geometry import View
from visionthink.core.json_value import Json
from visionthink.core.message import Message, TextPart
from visionthink.engines.chat_client import ChatClient, ChatError, ChatSampling
from visionthink.engines.chat_reply import Heard
from visionthink.engines.engine import SAMPLING_FIELDS, AnswerForm, Request, Sampling, SamplingField
from visionthink.engines.view_cache import ViewCache
from visionthink.errors import EngineError
from visionthink.picture import cut, encode_stored_png
from visionthink.spans import span

_NO_ROOM_STATUS: Final = frozenset({400, 413, 422})
_NO_ROOM: Final = re.compile(
    r"context[ _]length|maximum (?:context|model) length|max_model_len|longer than the maximum|too many tokens"
    r"|context window|max_(?:completion_)?tokens.{0,40}too large",
    re.IGNORECASE,
)
"""How vLLM, SGLang, TGI and OpenAI say that prompt and reply do not fit the model's context."""

_SMALL_PIXELS: Final = 2**14
"""A view of so small a picture is cut and encoded in a third of a millisecond."""


class OpenAIChatEngine:
    """Replies from one model of one server."""

    def __init__(
        self,
        client: ChatClient,
        *,
        max_view_bytes: int = 256 * 2**20,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Ask through `client`; keep at most `max_view_bytes` of encoded views."""
        self._client = client
        self._clock = clock
        self._parts: ViewCache[bytes] = ViewCache(_part, size_bytes=len, max_bytes=max_view_bytes)

    @property
    def model(self) -> str:
        """Name of the model as the server knows it."""
        return self._client.model

    @property
    def sampling_fields(self) -> frozenset[SamplingField]:
        """All: what a server does not know it refuses, and the refusal names it. `until` it may leave undone."""
        return frozenset(SAMPLING_FIELDS)

    async def reply(self, request: Request) -> Event:
        """The server's reply. As many are in flight as there are connections; the others wait unencoded."""
        watch, heard = _Watch(self._clock), Heard(self.model)
        try:
            heard.take(
                await self._client.complete(
                    self._later(request, watch), _chat_sampling(request.sampling), session=request.session
                )
            )
        except ChatError as error:
            return _kept_away(error)
        return heard.event(latency_s=watch.seconds())

    async def stream(self, request: Request) -> AsyncGenerator[str | Event, None]:
        """The server's reply as it comes. It is tried again until its first word, and not behind that."""
        watch, heard = _Watch(self._clock), Heard(self.model)
        chunks = self._client.stream(
            self._later(request, watch), _chat_sampling(request.sampling), session=request.session
        )
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    if piece := heard.add(chunk):
                        yield piece
        except ChatError as error:
            yield _kept_away(error)
            return
        yield heard.event(latency_s=watch.seconds())

    def prepare(self, picture: Image.Image, view: View) -> None:
        """Encode a view in a thread; a request that shows it meanwhile waits for that."""
        encode = partial(copy_context().run, self._parts.get, picture, view)  # a span of it belongs to the present turn
        asyncio.get_running_loop().run_in_executor(None, encode)

    async def is_ready(self) -> bool:
        """Whether the server answers and lists the model."""
        return await self._client.serves_model()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _later(self, request: Request, watch: "_Watch") -> Callable[[], Awaitable[bytes]]:
        async def messages() -> bytes:
            watch.start()  # the wait for a connection is ours, not the model's
            if self._is_light(request):
                return self._messages(request)
            # Cutting and encoding a view takes long enough to stall every other request of this loop.
            return await asyncio.to_thread(self._messages, request)

        return messages

    def _is_light(self, request: Request) -> bool:
        """Whether it is written faster than handed to another thread."""
        pictures = request.pictures
        if sum(picture.width * picture.height for picture in pictures) <= _SMALL_PIXELS:
            return True
        views = (view for message in request.messages for view in message.views)
        return all(self._parts.has(pictures[view.picture], view) for view in views)

    def _messages(self, request: Request) -> bytes:
        return _list(self._message(message, request.pictures) for message in request.messages)

    def _message(self, message: Message, pictures: Sequence[Image.Image]) -> bytes:
        content = self._content(message, pictures) if message.views else _json(message.text)
        return b'{"role": %b, "content": %b}' % (_json(message.role.value), content)

    def _content(self, message: Message, pictures: Sequence[Image.Image]) -> bytes:
        return _list(
            _json({"type": "text", "text": part.text})
            if isinstance(part, TextPart)
            else self._parts.get(pictures[part.view.picture], part.view)
            for part in message.parts
        )


def _list(texts: Iterable[bytes]) -> bytes:
    return b"[%b]" % b", ".join(texts)


def _json(value: Json) -> bytes:
    return json.dumps(value).encode()


def _part(picture: Image.Image, view: View) -> bytes:
    """The view as a part of a message, in JSON; base64 holds nothing that JSON escapes."""
    with span("resize", {"visionthink.view.width": view.size.width, "visionthink.view.height": view.size.height}):
        data = base64.b64encode(encode_stored_png(cut(picture, view)))
        return b'{"type": "image_url", "image_url": {"url": "data:image/png;base64,%b"}}' % data


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


class _Watch:
    """Measures a reply."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start_s = clock()

    def start(self) -> None:
        """Begin, or begin again."""
        self._start_s = self._clock()

    def seconds(self) -> float:
        """Since the last start."""
        return self._clock() - self._start_s


def _chat_sampling(sampling: Sampling) -> ChatSampling:
    return ChatSampling(
        temperature=0.0 if sampling.is_greedy else sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        seed=sampling.seed,
        further=_further(sampling),
        until=sampling.until,
    )


def _further(sampling: Sampling) -> dict[str, Json]:
    """What is asked for beyond what every server knows; OpenAI's names where it has one, else vLLM's."""
    numbers: tuple[SamplingField, ...] = (
        "top_k",
        "min_p",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
    )
    found: dict[str, Json] = {
        name: getattr(sampling, name) for name in numbers if getattr(sampling, name) != SAMPLING_FIELDS[name]
    }
    if sampling.stop:
        found["stop"] = [*sampling.stop]
    if sampling.num_top_log_probs is not None:
        found |= {"logprobs": True, "top_logprobs": sampling.num_top_log_probs}
    return found if sampling.form is None else found | _form(sampling.form)


def _form(form: AnswerForm) -> dict[str, Json]:
    match form.kind:
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json":
            schema: Json = json.loads(form.rule)
            return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}
        case "choice":
            return {"structured_outputs": {"choice": json.loads(form.rule)}}
        case "regex" | "grammar":
            return {"structured_outputs": {form.kind: form.rule}}
        case _:
            assert_never(form.kind)
