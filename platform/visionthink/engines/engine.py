"""What every source of replies looks like to the middle of the house.

Rule: one request in, one event out. Whatever keeps a request from its reply is an event too, never an exception, so
that one bad request cannot take its neighbours with it. What keeps every request from a reply until somebody mends
something (a wrong key, no such model, a closed engine) is an `EngineError`. Putting requests together into batches is
the engine's own business.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from PIL import Image

from visionthink.core.episode import Event
from visionthink.core.message import Message
from visionthink.errors import ConfigError

_GREEDY_BELOW: Final = 1e-4
"""Divided by a smaller number, float32 scores overflow, and what is drawn is no longer the likeliest token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How one reply is drawn.

    `temperature` 0 takes the likeliest token each time, and so does anything below 1e-4. `top_p` in (0, 1] keeps the
    smallest set of tokens that holds this much probability. `max_tokens` counts the end-of-turn token too. The same
    request with the same `seed` gives the same reply, whatever else is asked beside it, up to the rounding of the
    numbers in between; None draws anew each time.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 64
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a value is out of its range.
        """
        if not self.temperature >= 0.0:
            raise ConfigError(f"temperature is {self.temperature}; give 0 for greedy, or a positive number")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"top_p is {self.top_p}; give a number above 0 and at most 1")
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens is {self.max_tokens}; a reply needs at least 1")

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken each time."""
        return self.temperature < _GREEDY_BELOW


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """One reply to be made: the conversation so far and the picture that its views are cut from.

    `picture` is the oriented original. Every view is cut from it, never from another view.
    """

    messages: tuple[Message, ...]
    picture: Image.Image
    sampling: Sampling
    session: str | None = None
    """Requests of one session look at one picture, so an engine with several replicas keeps them on one of these, where
    the picture's tokens are cached. None: a session of its own."""


class Engine(Protocol):
    """A source of replies. Shared freely between tasks of one event loop."""

    @property
    def model(self) -> str:
        """Name of the model that answers, for traces and reports."""
        ...

    async def reply(self, request: Request) -> Event:
        """The reply, or what kept it away. Cancelling this gives the request up.

        Raises:
            EngineError: no request can get a reply before somebody mends something.
        """
        ...

    async def aclose(self) -> None:
        """Give connections and memory back; the engine is not used afterwards. Closing twice is allowed."""
        ...
