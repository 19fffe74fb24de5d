"""What every source of replies looks like to the stages.

Rule: a stage hands an engine a batch of requests and gets one event per request back, in order. A request that fails is
an event too (`BackendFailed`), never an exception, so that one bad request cannot take its batch with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from visionthink.core.episode import BackendFailed, ModelReply
from visionthink.core.message import Message
from visionthink.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How one reply is drawn.

    `temperature` 0 takes the likeliest token each time. `top_p` in (0, 1] keeps the smallest set of tokens that holds
    this much probability. `max_tokens` counts the end-of-turn token too. The same request with the same `seed` gives
    the same reply, whatever else is in its batch; None draws anew each time.
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
        if self.temperature < 0.0:
            raise ConfigError(f"temperature is {self.temperature}; give 0 for greedy, or a positive number")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"top_p is {self.top_p}; give a number above 0 and at most 1")
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens is {self.max_tokens}; a reply needs at least 1")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """One reply to be made: the conversation so far and the picture that its views are cut from.

    `picture` is the oriented original. Every view is cut from it, never from another view.
    """

    messages: tuple[Message, ...]
    picture: Image.Image
    sampling: Sampling


class Engine(Protocol):
    """A source of replies. Shared freely between tasks of one event loop."""

    @property
    def model(self) -> str:
        """Name of the model that answers, for traces and reports."""
        ...

    async def generate(self, requests: Sequence[Request]) -> list[ModelReply | BackendFailed]:
        """One event per request, in order."""
        ...

    async def aclose(self) -> None:
        """Give connections and memory back; the engine is not used afterwards. Closing twice is allowed."""
        ...
