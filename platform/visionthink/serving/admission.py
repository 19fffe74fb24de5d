"""Who is let in: so many requests at once, and so many bytes of theirs.

Rule: counted before anything is paid. A request gets a seat before its body is read, and says what it is about to hold
(its body, then its pixels) before it holds it; one that does not fit is refused with 503 and told when to come back, so
a rush costs neither memory nor time.
"""

from types import TracebackType
from typing import Final

from visionthink.serving.api_error import ApiError

_RETRY_AFTER_S: Final = 1


class Admission:
    """Counts what is in the house."""

    def __init__(self, *, max_requests: int, max_bytes: int) -> None:
        """Let in at most `max_requests` requests that hold at most `max_bytes` together."""
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.num_requests = 0
        self.num_bytes = 0

    def enter(self) -> "Seat":
        """A seat, to be left again.

        Raises:
            ApiError: 503, the house is full.
        """
        if self.num_requests >= self._max_requests:
            raise _overloaded(f"{self.num_requests} requests are in flight, the most that are taken; try again")
        self.num_requests += 1
        return Seat(self)

    def take(self, num_bytes: int) -> None:
        """Count `num_bytes` more.

        Raises:
            ApiError: 503, with them there would be too many.
        """
        if self.num_bytes + num_bytes > self._max_bytes:
            raise _overloaded("the requests in flight hold as much memory as is given to them; try again")
        self.num_bytes += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """Count `num_bytes` fewer."""
        self.num_bytes -= num_bytes

    def leave(self) -> None:
        """Count one request fewer."""
        self.num_requests -= 1


class Seat:
    """One request's seat; leaving twice is allowed."""

    def __init__(self, admission: Admission) -> None:
        """`admission` has counted this seat already."""
        self._admission = admission
        self._num_bytes = 0
        self._is_left = False

    def hold(self, num_bytes: int) -> None:
        """Hold `num_bytes` more.

        Raises:
            ApiError: 503, there is no room for them.
        """
        self._admission.take(num_bytes)
        self._num_bytes += num_bytes

    def drop(self, num_bytes: int) -> None:
        """Hold `num_bytes` fewer."""
        self._num_bytes -= num_bytes
        self._admission.give_back(num_bytes)

    def leave(self) -> None:
        """Give everything back."""
        if not self._is_left:
            self._is_left = True
            self._admission.give_back(self._num_bytes)
            self._admission.leave()

    def __enter__(self) -> "Seat":
        """The seat itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self.leave()


def _overloaded(message: str) -> ApiError:
    return ApiError(503, message, code="overloaded", retry_after_s=_RETRY_AFTER_S)
