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

from visionthink.serving.admission import Seat
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


async def read_body(request: Request, seat: Seat, *, max_bytes: int) -> bytearray:
    """The body, which `seat` holds from now on.

    Raises:
        ApiError: 413, it is larger than `max_bytes`; 415, it is compressed; 408, it was not there by the seat's
            deadline, which then starts anew; 429, there is no room for it.
        ClientDisconnect: the client hung up before its end.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        text = f"the body's content-encoding is {encoding[:32]!r}; send it as it is"
        raise ApiError(415, text, code="unsupported_encoding")
    text = f"the body was not there within {seat.deadline.timeout_s:g} s; send less, or faster"
    async with seat.deadline.kept(late=ApiError(408, text, code="upload_timeout")):
        body = await _read(request, seat, max_bytes)
    seat.deadline.restart()
    return body


async def _read(request: Request, seat: Seat, max_bytes: int) -> bytearray:
    too_large = ApiError(413, f"the request is larger than {max_bytes} bytes; send less", code="request_too_large")
    told = int(request.headers.get("content-length") or 0)
    if told > max_bytes:
        raise too_large
    seat.hold(told)
    num_held = told
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise too_large
        if len(body) > num_held:
            seat.hold(len(body) - num_held)
            num_held = len(body)
    return body


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
