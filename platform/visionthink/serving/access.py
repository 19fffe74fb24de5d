"""One line in the log for each request, and who a line in the log belongs to.

Rule: what was asked and answered stays out of the log; a line has the request's id, its key's name, status, sizes and
times. Probes and scrapes leave no line when they come off: they would drown the others.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)

_UNANSWERED: Final = 499
"""By custom: nobody was there any more to be answered."""
_NOTHING: Final[Mapping[str, object]] = {}
_present: ContextVar[Mapping[str, object]] = ContextVar("visionthink_request", default=_NOTHING)


def present_request() -> Mapping[str, object]:
    """What is known of the request that this task works for: `request_id` and `caller`, where there are any."""
    return _present.get()


class AccessMiddleware:
    """Logs and times requests."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        spared: Callable[[str], bool],
        on_first_byte: Callable[[str, float], None],
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Wrap `app`; `on_first_byte(path, seconds)` is told how long each response took to begin."""
        self._app = app
        self._spared = spared
        self._on_first_byte = on_first_byte
        self._timer = timer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _present.set(scope.setdefault("state", {}))
        start_s, first_byte_s, num_bytes, status = self._timer(), 0.0, 0, _UNANSWERED

        async def send_timed(message: Message) -> None:
            nonlocal first_byte_s, num_bytes, status
            if message["type"] == "http.response.start":
                first_byte_s, status = self._timer() - start_s, message["status"]
                self._on_first_byte(scope["path"], first_byte_s)
            num_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_timed)
        except Exception:
            status = 500
            raise
        finally:
            if status >= 400 or not self._spared(scope["path"]):
                seconds = self._timer() - start_s
                facts = {
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "seconds": round(seconds, 4),
                    "first_byte_s": round(first_byte_s, 4),
                    "size_bytes": num_bytes,
                }
                _log.info("%s %s %d in %.3f s", scope["method"], scope["path"], status, seconds, extra={"facts": facts})
