"""The bare HTTP around the endpoints: request ids, bounded bodies, clients that hang up.

Rule: a request costs nothing once nobody waits for it, and nothing that a client sends is read without a limit.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visionthink.serving.api_error import ApiError

REQUEST_ID_HEADER: Final = "x-request-id"
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")

Result = TypeVar("Result")


class RequestIdMiddleware:
    """Gives every response the id that its request brought, or a new one."""

    def __init__(self, app: ASGIApp, new_id: Callable[[], str]) -> None:
        """Wrap `app`; `new_id` makes an id for a request without a sane one."""
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Request(scope).headers.get(REQUEST_ID_HEADER, "")
        request_id = given if _SANE_ID.fullmatch(given) else self._new_id()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The body.

    Raises:
        ApiError: 413, it is larger than `max_bytes`.
    """
    too_large = ApiError(413, f"the request is larger than {max_bytes} bytes; send less", code="request_too_large")
    if int(request.headers.get("content-length") or 0) > max_bytes:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


async def unless_gone(request: Request, work: Coroutine[object, object, Result]) -> Result | None:
    """What `work` returns, or None and `work` cancelled when the client hangs up. Call it after the body was read."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        gone.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
