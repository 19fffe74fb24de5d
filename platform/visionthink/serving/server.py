"""Runs an ASGI app with uvicorn: as the process's task, or beside it for as long as a block of code needs it.

Rule: a server that was started is also ended, within a deadline, and a port is never guessed: the socket is bound
first, then its number is read. A signal drains the server first, and a server that was told to end has not failed: the
process ends with code 0.
"""

import asyncio
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from threading import Thread
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from visionthink.errors import EngineError
from visionthink.network import address_of, reached_at, url_host
from visionthink.serving.drain import Drain, drain_of
from visionthink.serving.json_log import LogFormat, log_config

READY_PATH: Final = "/v2/health/ready"
_POLL_S: Final = 0.02
_KEEP_ALIVE_S: Final = 75
"""How long a connection may rest. More than the proxies before it let theirs rest (commonly 60 s), so that it is them
who close one: a question that meets a closing connection has no answer."""
_CLOSE_S: Final = 2
"""What connections get to close once nothing is under way any more."""


class DrainingServer(uvicorn.Server):
    """Ends as `drain` says: a first signal begins it, a second one ends at once."""

    def __init__(self, config: uvicorn.Config, drain: Drain, *, grace_s: float) -> None:
        """Give what is under way `grace_s` seconds."""
        super().__init__(config)
        self._drain = drain
        self._grace_s = grace_s
        self._draining: asyncio.Task[bool] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal asks to end. It is not raised again afterwards, as uvicorn's own server does."""
        if self._drain.is_draining:
            self.should_exit = self.force_exit = True
        self._drain.begin()

    async def on_tick(self, counter: int) -> bool:
        """Whether to end now; asked ten times a second."""
        if self._drain.is_draining and self._draining is None:
            self._draining = asyncio.create_task(self._drain.finish(self._grace_s))
        is_drained = self._draining is not None and self._draining.done()
        return await super().on_tick(counter) or is_drained


def serve(app: FastAPI, *, host: str, port: int, drain_s: float = 30.0, log_format: LogFormat = "text") -> None:
    """Serve until SIGINT or SIGTERM; then refuse new requests and finish those under way, for at most `drain_s` s.

    What is left then ends with an error that says so. A second signal ends everything at once.

    Raises:
        EngineError: the address cannot be bound.
    """
    with _bound(host, port) as listener:
        config = uvicorn.Config(
            app,
            log_config=log_config(log_format),
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_CLOSE_S,
        )
        DrainingServer(config, drain_of(app), grace_s=drain_s).run(sockets=[listener])


@contextmanager
def background_server(
    app: FastAPI,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ready_path: str | None = READY_PATH,
    deadline_s: float = 60.0,
    drain_s: int = 5,
) -> Generator[str]:
    """Serve in a thread while the block runs; yields the base URL (`http://127.0.0.1:41234`, without `/v1`).

    `port` 0 takes a free one. The block starts once `ready_path` answers 200 (None: once the server accepts).

    Raises:
        EngineError: it did not come up, or did not end, within `deadline_s`.
    """
    with _bound(host, port) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=drain_s,
            )
        )
        thread = Thread(target=_run, args=(server, listener), name="server", daemon=True)
        url = f"http://{reached_at(host)}:{listener.getsockname()[1]}"
        thread.start()
        try:
            _wait_until_ready(url, ready_path, server, thread, deadline_s)
            yield url
        finally:
            server.should_exit = True
            thread.join(deadline_s)
        if thread.is_alive():
            raise EngineError(f"the server at {url} did not end within {deadline_s:g} s", retryable=False)


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    with suppress(SystemExit):  # how uvicorn says that the app's start failed; it has logged why
        server.run(sockets=[listener])


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, address = address_of(host, port)
        listener = socket.socket(family)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise EngineError(
            f"cannot listen on {url_host(host)}:{port}: {error}; choose another --host or --port", retryable=False
        ) from error
    return listener


def _wait_until_ready(
    url: str, ready_path: str | None, server: uvicorn.Server, thread: Thread, deadline_s: float
) -> None:
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        if not thread.is_alive():
            raise EngineError(f"the server at {url} ended while it started; its log says why", retryable=False)
        if server.started and (ready_path is None or _answers(url + ready_path)):
            return
        time.sleep(_POLL_S)
    raise EngineError(f"the server at {url} was not ready within {deadline_s:g} s", retryable=True)


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the server is this process's own
    try:
        with direct.open(url, timeout=5.0) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError):
        return False
