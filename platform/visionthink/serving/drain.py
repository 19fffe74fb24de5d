"""How the server ends: nobody new is let in, and whoever is in is answered.

Rule: from the first moment on the server says that it is not ready, and refuses new requests with 503, `retry-after`
and `connection: close`, so that clients go elsewhere. Requests under way have a grace period; what is left after it
ends with an answer that says why, streams too. Probes and scrapes are answered to the end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visionthink.serving.api_error import ApiError

_RETRY_AFTER_S: Final = 1
_POLL_S: Final = 0.05
_LAST_WORDS_S: Final = 2.0
"""What a request that was cut needs at most to say so."""


class Drain:
    """Whether the server ends, and what is still under way."""

    def __init__(self, cut: Callable[[ApiError], None] | None = None) -> None:
        """`cut` ends the requests that outlive the grace period."""
        self._cut = cut
        self.is_draining = False
        self.num_open = 0
        """Requests under way, probes left out."""

    def begin(self) -> None:
        """Let nobody new in. May be called from a signal's handler, and more than once."""
        self.is_draining = True

    async def finish(self, grace_s: float) -> bool:
        """Return when nothing is under way any more; whether that was so within `grace_s`."""
        self.begin()
        if await self._is_idle_within(grace_s):
            return True
        if self._cut is not None:
            self._cut(shutting_down())
        await self._is_idle_within(_LAST_WORDS_S)
        return False

    async def _is_idle_within(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        while self.num_open and loop.time() < end_s:
            await asyncio.sleep(_POLL_S)
        return self.num_open == 0


def drain_of(app: FastAPI) -> Drain:
    """The drain of an app that `create_app` made; a new one for any other."""
    found = getattr(app.state, "drain", None)
    return found if isinstance(found, Drain) else Drain()


def shutting_down() -> ApiError:
    """The error for a request that a server which ends does not answer."""
    text = "this server is shutting down; try again, and another one answers"
    return ApiError(503, text, code="shutting_down", retry_after_s=_RETRY_AFTER_S)


class DrainMiddleware:
    """Counts requests, and refuses new ones when the server ends."""

    def __init__(
        self, app: ASGIApp, *, drain: Drain, spared: Callable[[str], bool], on_refused: Callable[[ApiError], None]
    ) -> None:
        """Wrap `app`. Paths that are `spared` (probes, scrapes) are neither counted nor refused."""
        self._app = app
        self._drain = drain
        self._spared = spared
        self._on_refused = on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or self._spared(scope["path"]):
            await self._app(scope, receive, send)
        elif self._drain.is_draining:
            error = shutting_down()
            self._on_refused(error)
            await error.response()(scope, receive, self._closing(send))
        else:
            self._drain.num_open += 1
            try:
                await self._app(scope, receive, self._closing(send))
            finally:
                self._drain.num_open -= 1

    def _closing(self, send: Send) -> Callable[[Message], Awaitable[None]]:
        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.is_draining:
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        return send_closing
