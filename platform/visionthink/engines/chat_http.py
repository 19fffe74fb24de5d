"""The connections to one chat server, over which ready-made bytes go and come.

Rule: a body is sent as it is. Nothing walks through it again, because a request of pictures holds megabytes and a small
one should cost the client a fraction of what it costs the server. No answer is followed elsewhere, for a redirect would
take the key along. What goes wrong leaves here as one of three: `StatusError`, `StreamError`, `UnreachableError`.
"""

import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import aiohttp

from visionthink.core.json_value import Json
from visionthink.network import connection_errors, connections_to
from visionthink.spans import trace_headers

_KEEP_ALIVE_S: Final = 4.0
"""Below uvicorn's five seconds (vLLM, SGLang, ourselves): no request should meet a connection that is being closed."""
_MAX_LINE_BYTES: Final = 16 * 2**20
_END: Final = b"[DONE]"
_JSON: Final = "application/json"


class StatusError(Exception):
    """The server answered with another status than success."""

    def __init__(self, status: int, text: str, *, retry_after: str = "") -> None:
        """Keep the body's text, and the header of that name."""
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = _json_or_text(text)
        self.retry_after = retry_after


class StreamError(Exception):
    """The server told of an error in a stream, behind its status 200."""

    def __init__(self, body: Json) -> None:
        """Keep what it told."""
        super().__init__("an error in the stream")
        self.body = body


class UnreachableError(Exception):
    """There is no server, or the connection broke off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatServer:
    """One server. It belongs to the event loop in which it is used first."""

    base_url: str
    """Up to and with `/v1`."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    max_connections: int
    _sessions: list[aiohttp.ClientSession] = field(default_factory=list, init=False)

    async def ask(self, body: bytes) -> bytes:
        """The whole answer to a chat request.

        Raises:
            StatusError, UnreachableError: there is none.
        """
        async with self._answer("POST", "/chat/completions", body) as answer:
            return await answer.read()

    @asynccontextmanager
    async def stream(self, body: bytes) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """The data of each event as it comes; leaving the block closes the connection if events are left.

        Raises:
            StatusError, StreamError, UnreachableError: there is none, or it broke off.
            ValueError: this is no stream of events.
        """
        async with self._answer("POST", "/chat/completions", body) as answer:
            yield _events(answer.content)

    async def list_models(self) -> bytes:
        """The list of models.

        Raises:
            StatusError, UnreachableError: there is none.
        """
        async with self._answer("GET", "/models", None) as answer:
            return await answer.read()

    async def aclose(self) -> None:
        """Close the connections."""
        while self._sessions:
            await self._sessions.pop().close()

    @asynccontextmanager
    async def _answer(self, method: str, path: str, body: bytes | None) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session().request(
                method,
                self.base_url + path,
                params=self.query or None,
                data=None if body is None else io.BytesIO(body),  # in pieces: the loop stays free for others
                headers={"Accept": _JSON, "Content-Type": _JSON, **self.headers, **trace_headers()},
                allow_redirects=False,
            ) as answer:
                if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                    raise await _refusal(answer)
                yield answer
        except connection_errors() as error:
            raise UnreachableError(str(error) or type(error).__name__) from error

    def _session(self) -> aiohttp.ClientSession:
        if not self._sessions:
            session = aiohttp.ClientSession(
                **connections_to(self.base_url, limit=self.max_connections, keep_alive_s=_KEEP_ALIVE_S),
                # The caller's deadline bounds a try; the package's own would bound a stream.
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            self._sessions.append(session)
        return self._sessions[0]


def body_of(model: str, messages: Sequence[object] | bytes, fields: Mapping[str, Json], *, stream: bool) -> bytes:
    """The request in JSON. `messages` in bytes are the JSON text of the list."""
    head = {"model": model, **({"stream": True} if stream else {}), **fields}
    listed = messages if isinstance(messages, bytes) else json.dumps(list(messages)).encode()
    return b"".join((json.dumps(head)[:-1].encode(), b', "messages": ', listed, b"}"))


async def _refusal(answer: aiohttp.ClientResponse) -> StatusError:
    if place := answer.headers.get("Location"):
        return StatusError(answer.status, f"the server has moved to {place}; name that address")
    text = await answer.text(errors="replace")
    return StatusError(answer.status, text, retry_after=answer.headers.get("Retry-After", ""))


async def _events(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """The data of server-sent events, up to the end mark (WHATWG HTML 9.2; fields other than data say nothing here)."""
    data: list[bytes] = []
    async for line in _lines(content):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        if line or not data:
            continue
        if (event := b"\n".join(data)) == _END:
            return
        yield event
        data.clear()


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    left = b""
    try:
        async for piece in content.iter_any():
            *lines, left = (left + piece).split(b"\n")
            for line in lines:
                yield line.removesuffix(b"\r")
            if len(left) > _MAX_LINE_BYTES:
                raise ValueError(f"this is no stream of chat completion chunks: a line above {_MAX_LINE_BYTES} bytes")
    except connection_errors() as error:
        raise UnreachableError(str(error) or type(error).__name__) from error


def _json_or_text(text: str) -> Json:
    try:
        found: Json = json.loads(text)
    except ValueError:
        return text
    return found
