"""An answer while it is being made.

Rule: whoever reads it is never kept waiting without a word, and when nobody reads any more the work ends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Final, Generic, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

Result = TypeVar("Result")
Item = TypeVar("Item")

_HEADERS: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class End:
    """Behind the last item."""


class Live(Generic[Item, Result]):
    """Work under way, and the items that it lets flow."""

    def __init__(self, work: Callable[[Callable[[Item], None]], Coroutine[object, object, Result]]) -> None:
        """Begin `work(on_item)`."""
        self._items: asyncio.Queue[Item | End] = asyncio.Queue()
        self._task = asyncio.ensure_future(work(self._items.put_nowait))
        self._task.add_done_callback(lambda _: self._items.put_nowait(End()))

    async def next(self, *, timeout_s: float) -> Item | End | None:
        """The next item, None after `timeout_s` without any, or once the end when the work has ended."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._items.get()
        except TimeoutError:
            return None

    def result(self) -> Result:
        """What the work returned. What it raised is raised here."""
        return self._task.result()

    def abandon(self) -> bool:
        """Stop the work; whether it was still under way."""
        return self._task.cancel()


class EventStream(StreamingResponse):
    """A stream of server-sent events that cleans up, whether or not anybody ever read it."""

    def __init__(self, events: AsyncIterator[str], *, on_end: Callable[[], None]) -> None:
        """Send `events`, then call `on_end` in any case."""
        super().__init__(events, media_type="text/event-stream", headers=_HEADERS)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            with suppress(ClientDisconnect):
                await super().__call__(scope, receive, send)
        finally:
            self._on_end()
