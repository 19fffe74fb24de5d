"""Who is let in, and when: so many requests, so many bytes of theirs, and so many at the engine at a time.

Rule: counted before anything is paid. A request gets a seat before its body is read, and says what it is about to hold
(its body, then its pixels) before it holds it. When its body is there it waits, unpacked, until the engine has room for
it: first come, first served, keys in turn, for a bounded time; no key keeps the others out by filling the house. One
that gets no seat, no room or no turn is refused with 429 and told when to come back, so a rush costs neither memory nor
time; 503 is left to faults.
"""

import asyncio
from types import TracebackType
from typing import Final

from visionthink.serving.api_error import ApiError
from visionthink.serving.deadline import Deadline
from visionthink.serving.queue import FairQueue

_RETRY_AFTER_S: Final = 1


class Admission:
    """Counts what is in the house. Belongs to one event loop."""

    def __init__(
        self, *, max_requests: int, max_bytes: int, max_queued: int = 0, max_wait_s: float = 0.0, timeout_s: float
    ) -> None:
        """Let `max_requests` requests be answered at a time, and `max_queued` more wait for `max_wait_s` at most.

        Together they hold at most `max_bytes`. Each has `timeout_s` for its upload and as long for the rest.
        """
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._max_queued = max_queued
        self._max_wait_s = max_wait_s
        self._timeout_s = timeout_s
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue()
        self._seats: set[Seat] = set()
        self._num_called = 0
        self.num_bytes = 0

    @property
    def num_requests(self) -> int:
        """Requests in the house: being uploaded, waiting or answered."""
        return len(self._seats)

    @property
    def num_queued(self) -> int:
        """Requests that wait for the engine."""
        return len(self._queue)

    def enter(self, key: str = "") -> "Seat":
        """A seat for a request of `key`, to be left again.

        Raises:
            ApiError: 429, the house is full.
        """
        if self.num_requests >= self._max_requests + self._max_queued and not self._made_room(key):
            raise _overloaded(f"{self.num_requests} requests are in flight, the most that are taken; try again")
        seat = Seat(self, key, Deadline(self._timeout_s))
        self._seats.add(seat)
        return seat

    def _made_room(self, key: str) -> bool:
        """Whether another key, which has more waiting than `key`, gave one of them up."""
        dropped = self._queue.drop_for(key)
        if dropped is None:
            return False
        if not dropped.done():
            text = f"{self.num_requests} requests are in flight, and this key has the most of them; try again"
            dropped.set_exception(_overloaded(text))
        return True

    def leave(self, seat: "Seat") -> None:
        """Count one request fewer."""
        self._seats.discard(seat)

    def take(self, num_bytes: int) -> None:
        """Count `num_bytes` more.

        Raises:
            ApiError: 429, with them there would be too many.
        """
        if self.num_bytes + num_bytes > self._max_bytes:
            raise _overloaded("the requests in flight hold as much memory as is given to them; try again")
        self.num_bytes += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """Count `num_bytes` fewer."""
        self.num_bytes -= num_bytes

    async def call_up(self, key: str) -> None:
        """Return when the engine has room for a request of `key`, which then takes it.

        Raises:
            ApiError: 429, it had none for too long.
        """
        if self._num_called < self._max_requests and not self._queue:
            self._num_called += 1
            return
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.push(key, called)
        try:
            async with asyncio.timeout(self._max_wait_s):
                await called
        except BaseException as error:
            self._queue.remove(key, called)
            if called.done() and not called.cancelled() and called.exception() is None:
                self.release()  # called up in the very moment in which it gave up
            if isinstance(error, TimeoutError):
                text = f"the engine had no room for {self._max_wait_s:g} s; try again"
                raise _overloaded(text) from error
            raise

    def release(self) -> None:
        """The engine has room for one more: the next one's turn."""
        self._num_called -= 1
        while self._queue and self._num_called < self._max_requests:
            called = self._queue.pop()
            if not called.done():
                self._num_called += 1
                called.set_result(None)

    def cut(self, why: ApiError) -> None:
        """End every request that is under way with `why`."""
        for seat in tuple(self._seats):
            seat.deadline.cut(why)


class Seat:
    """One request's seat; leaving twice is allowed."""

    def __init__(self, admission: Admission, key: str, deadline: Deadline) -> None:
        """A seat for a request of `key`, which has to be over by `deadline`."""
        self._admission = admission
        self._key = key
        self._num_bytes = 0
        self._is_called = False
        self._is_left = False
        self.deadline = deadline

    async def wait_for_engine(self) -> None:
        """Return when it is this request's turn.

        Raises:
            ApiError: 429, it did not come up in time.
        """
        await self._admission.call_up(self._key)
        self._is_called = True

    def hold(self, num_bytes: int) -> None:
        """Hold `num_bytes` more.

        Raises:
            ApiError: 429, there is no room for them.
        """
        self._admission.take(num_bytes)
        self._num_bytes += num_bytes

    def drop(self, num_bytes: int) -> None:
        """Hold `num_bytes` fewer."""
        self._num_bytes -= num_bytes
        self._admission.give_back(num_bytes)

    def leave(self) -> None:
        """Give everything back."""
        if self._is_left:
            return
        self._is_left = True
        self._admission.give_back(self._num_bytes)
        self._admission.leave(self)
        if self._is_called:
            self._admission.release()

    def __enter__(self) -> "Seat":
        """The seat itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self.leave()


def _overloaded(message: str) -> ApiError:
    return ApiError(429, message, code="overloaded", retry_after_s=_RETRY_AFTER_S)
