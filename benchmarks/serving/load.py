"""A load generator that costs little: bare HTTP/1.1 over kept connections, in a closed loop.

Rule: bodies are made before the clock runs, and what comes back is kept as bytes. Each client has one connection and
sends its next job when the last one is done; a window begins when every client has done its first job, so neither the
start nor the end of a run is in a figure. The rate follows from the latencies (Little's law: jobs under way over their
mean latency): counted, it would jump by as many jobs as there are clients, whenever an engine answers them in step.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean
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
    num_clients: int
    shares: Mapping[Hashable, float]
    """By kind of job, its share of all jobs."""
    kind_of: Callable[[int], Hashable]

    @property
    def rate(self) -> float:
        """Jobs a second; 0 where a kind has none that ended."""
        mean_s = 0.0
        for kind, share in self.shares.items():
            times = [one.end_s - one.start_s for one in self.done if self.kind_of(one.number) == kind]
            if not times:
                return 0.0
            mean_s += share * fmean(times)
        return self.num_clients / mean_s if mean_s else 0.0

    def latency_s(self, share: float) -> float:
        """The latency that this share of jobs kept; 0 where there is none."""
        times = sorted(one.end_s - one.start_s for one in self.done)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0

    def facts(self) -> dict[str, float]:
        """Its figures, as files hold them."""
        return {
            "rps": round(self.rate, 4),
            "p50_s": round(self.latency_s(0.5), 4),
            "p95_s": round(self.latency_s(0.95), 4),
            "clients": self.num_clients,
            "num_done": len(self.done),
            "window_s": round(self.seconds, 2),
        }


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
    same time. The window stays open longer until twice as many jobs have ended as there are clients, and closes early
    when `max_jobs` are begun. `on_open` is called when it opens.

    Raises:
        LoadError, OSError: a job failed.
    """
    done: list[Done] = []
    numbers = iter(range(max_jobs)) if max_jobs is not None else iter(int, None)
    count = 0
    num_warm = 0
    is_warm, is_round, is_over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def next_number() -> int | None:
        nonlocal count
        if next(numbers, None) is None:
            return None
        count += 1
        return count - 1

    num_until_round = sys.maxsize

    async def client(server: Server, delay_s: float) -> None:
        nonlocal num_warm
        connection = Connection(server)
        is_first = True
        await asyncio.sleep(delay_s)
        try:
            while (number := next_number()) is not None:
                start_s = time.perf_counter()
                answers = await job(connection, number)
                done.append(Done(number, start_s, time.perf_counter(), answers))
                num_warm += is_first
                is_first = False
                if num_warm == num_clients:
                    is_warm.set()
                if is_warm.is_set() and len(done) >= num_until_round:
                    is_round.set()
            is_over.set()
            is_round.set()
        finally:
            connection.close()

    tasks = [
        asyncio.create_task(client(servers[k % len(servers)], spread_s * k / num_clients)) for k in range(num_clients)
    ]
    try:
        await _unless_failed(tasks, is_warm)
        on_open()
        num_until_round = len(done) + 2 * num_clients
        open_s = time.perf_counter()
        with suppress(TimeoutError):
            async with asyncio.timeout(window_s):
                await _unless_failed(tasks, is_over)
        await _unless_failed(tasks, is_round)
        close_s = time.perf_counter()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    ended = tuple(one for one in done if open_s < one.end_s <= close_s)
    kinds = Counter(kind_of(number) for number in range(count))
    shares = {kind: num / count for kind, num in kinds.items()}
    return Window(seconds=close_s - open_s, done=ended, num_clients=num_clients, shares=shares, kind_of=kind_of)


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
