"""A load generator that costs little: bare HTTP/1.1 over kept connections, in a closed loop.

Rule: bodies are made before the clock runs, and what comes back is kept as bytes. Each client has one connection and
sends its next job when the last one is done; a window begins when every client has done its first job, so neither the
start nor the end of a run is in a figure. A job counts for the part of its time that lies within the window: clients
that an engine answers in step would otherwise make the figure jump by as many jobs as there are clients.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_LIMIT: Final = 2**20
CHAT_PATH: Final = "/v1/chat/completions"


class LoadError(Exception):
    """A server answered something else than 200, or nothing."""


class Server(NamedTuple):
    """Where requests go."""

    host: str
    port: int

    @classmethod
    def at(cls, url: str) -> "Server":
        """The server of a URL."""
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80)


class Connection:
    """One kept connection."""

    def __init__(self, server: Server) -> None:
        """Opened when it is first used."""
        self._server = server
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, body: bytes, path: str = CHAT_PATH) -> bytes:
        """The body of the answer to `body`.

        Raises:
            LoadError: the status is not 200.
        """
        head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        status, answer = await self._send(f"{head}content-length: {len(body)}\r\n\r\n".encode(), body)
        if status != 200:
            raise LoadError(f"{self._server.port}{path} answered {status}: {answer[:300]!r}")
        return answer

    def close(self) -> None:
        """Close it, in mid-request too."""
        if self._writer is not None:
            self._writer.close()
            self._reader = self._writer = None

    async def _send(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._server, limit=_LIMIT)
        self._writer.write(head)
        self._writer.write(body)
        told = await self._reader.readuntil(b"\r\n\r\n")
        lines = told.decode("latin-1").lower().split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if "chunked" in fields.get("transfer-encoding", ""):
            answer = await self._chunks(self._reader)
        else:
            answer = await self._reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection") == "close":
            self.close()
        return status, answer

    @staticmethod
    async def _chunks(reader: asyncio.StreamReader) -> bytes:
        found = []
        while size := int(await reader.readline(), 16):
            found.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readline()
        return b"".join(found)


class Done(NamedTuple):
    """One job that is done."""

    number: int
    start_s: float
    end_s: float
    answers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What ended while the clock ran."""

    seconds: float
    done: tuple[Done, ...]
    num_jobs: float
    """Jobs' worth of work: each job by the part of it that lies within."""

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.num_jobs / self.seconds if self.seconds else 0.0

    def latency_s(self, share: float) -> float:
        """The latency that this share of jobs kept; 0 where there is none."""
        times = sorted(one.end_s - one.start_s for one in self.done)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0


Job = Callable[[Connection, int], Awaitable[tuple[bytes, ...]]]
"""Does job number n over a connection and gives the bodies that came back."""


async def closed_loop(
    job: Job,
    servers: Sequence[Server],
    *,
    num_clients: int,
    window_s: float,
    max_jobs: int | None = None,
    spread_s: float = 0.0,
    kind_of: Callable[[int], Hashable] = lambda number: None,
    on_open: Callable[[], None] = lambda: None,
) -> Window:
    """Keep `num_clients` jobs under way and look at those that end within `window_s` seconds.

    Clients are spread evenly over `servers`, and begin evenly over `spread_s` seconds. Jobs of one kind take about the
    same time. The window closes early when `max_jobs` are begun. `on_open` is called when it opens.

    Raises:
        LoadError, OSError: a job failed.
    """
    done: list[Done] = []
    under_way: dict[int, float] = {}
    numbers = iter(range(max_jobs)) if max_jobs is not None else iter(int, None)
    count = 0
    num_warm = 0
    is_warm, is_over = asyncio.Event(), asyncio.Event()

    def next_number() -> int | None:
        nonlocal count
        if next(numbers, None) is None:
            return None
        count += 1
        return count - 1

    async def client(server: Server, delay_s: float) -> None:
        nonlocal num_warm
        connection = Connection(server)
        is_first = True
        await asyncio.sleep(delay_s)
        try:
            while (number := next_number()) is not None:
                under_way[number] = time.perf_counter()
                answers = await job(connection, number)
                done.append(Done(number, under_way.pop(number), time.perf_counter(), answers))
                if is_first:
                    is_first = False
                    num_warm += 1
                    if num_warm == num_clients:
                        is_warm.set()
            is_over.set()
        finally:
            connection.close()

    tasks = [
        asyncio.create_task(client(servers[k % len(servers)], spread_s * k / num_clients)) for k in range(num_clients)
    ]
    try:
        await _unless_failed(tasks, is_warm)
        on_open()
        open_s = time.perf_counter()
        with suppress(TimeoutError):
            async with asyncio.timeout(window_s):
                await _unless_failed(tasks, is_over)
        close_s = time.perf_counter()
        left = dict(under_way)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    ended = tuple(one for one in done if open_s < one.end_s <= close_s)
    num_jobs = sum((one.end_s - max(one.start_s, open_s)) / (one.end_s - one.start_s) for one in ended)
    num_jobs += _begun(left, ended, kind_of, open_s=open_s, close_s=close_s)
    return Window(seconds=close_s - open_s, done=ended, num_jobs=num_jobs)


def _begun(
    left: Mapping[int, float],
    ended: Sequence[Done],
    kind_of: Callable[[int], Hashable],
    *,
    open_s: float,
    close_s: float,
) -> float:
    """The parts of jobs that are not done when the window closes; each takes about as long as others of its kind."""
    seconds: dict[Hashable, list[float]] = {}
    for one in ended:
        seconds.setdefault(kind_of(one.number), []).append(one.end_s - one.start_s)
    longest = max((max(times) for times in seconds.values()), default=0.0)
    total = 0.0
    for number, start_s in left.items():
        whole_s = max(median(seconds.get(kind_of(number), [longest])), close_s - start_s)
        total += (close_s - max(start_s, open_s)) / whole_s if whole_s else 0.0
    return total


async def _unless_failed(tasks: Sequence[asyncio.Task[None]], event: asyncio.Event) -> None:
    """Wait for `event`; a client that fails ends the wait with its exception."""
    waiting = asyncio.create_task(event.wait())
    pending: set[asyncio.Task[object]] = {waiting, *tasks}
    try:
        while not event.is_set():
            ended, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
            if len(pending) <= 1 and not event.is_set():
                raise LoadError("every client ended before the window did; give more jobs")
    finally:
        waiting.cancel()
