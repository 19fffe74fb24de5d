"""What every source of replies looks like to the middle of the house.

Rule: one request in, one event out. Whatever keeps a request from its reply is an event too, never an exception, so
that one bad request cannot take its neighbours with it. What keeps every request from a reply until somebody mends
something (a wrong key, no such model, a closed engine) is an `EngineError`. Putting requests together into batches is
the engine's own business.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

from PIL import Image

from visionthink.core.episode import Event
from visionthink.core.geometry import View
from visionthink.core.message import Message
from visionthink.core.pruning import Pruning
from visionthink.errors import ConfigError

_GREEDY_BELOW: Final = 1e-4
"""Divided by a smaller number, float32 scores overflow, and what is drawn is no longer the likeliest token."""


SamplingField: TypeAlias = Literal[
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "stop",
    "num_top_log_probs",
    "form",
    "until",
]
"""The fields of a sampling that not every engine knows."""
SAMPLING_FIELDS: Final[dict[SamplingField, object]] = {
    "top_k": 0,
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "stop": (),
    "num_top_log_probs": None,
    "form": None,
    "until": (),
}
"""What each of them is when it asks for nothing."""
MAX_TOP_LOG_PROBS: Final = 20  # of OpenAI, and the default of vLLM


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForm:
    """What a reply must look like, to the letter."""

    kind: Literal["json_object", "json", "regex", "choice", "grammar"]
    """Any JSON object; JSON that fits a schema; a regular expression; one of several texts; an EBNF grammar."""
    rule: str = ""
    """The schema or the list of texts as JSON, the expression or the grammar as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How one reply is drawn.

    `temperature` 0 takes the likeliest token each time, and so does anything below 1e-4. `top_p` in (0, 1] keeps the
    smallest set of tokens that holds this much probability. `max_tokens` counts the end-of-turn token too. The same
    request with the same `seed` gives the same reply, whatever else is asked beside it, up to the rounding of the
    numbers in between; None draws anew each time.

    The fields of `SAMPLING_FIELDS` ask for nothing by default. What they ask for is done by an engine that knows them;
    whoever sets one looks first, see `known_fields`.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 64
    seed: int | None = None
    top_k: int = 0
    """Only so many of the likeliest tokens may be drawn; 0: all."""
    min_p: float = 0.0
    """Only tokens at least so likely, as a share of the likeliest one's probability, may be drawn."""
    presence_penalty: float = 0.0
    """Taken off the score of each token that was written already."""
    frequency_penalty: float = 0.0
    """The same, for each time that it was written."""
    repetition_penalty: float = 1.0
    """Divides the score of each token of prompt and reply; above 1 it becomes less likely."""
    stop: tuple[str, ...] = ()
    """Texts before which the reply ends."""
    num_top_log_probs: int | None = None
    """Tell each token's log-probability, and those of so many of the likeliest beside it; None: tell none."""
    form: AnswerForm | None = None
    """What the reply must look like."""
    until: tuple[str, ...] = ()
    """Texts with which the reply ends; unlike those of `stop` they stay in it."""

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
        self._check_further()

    def _check_further(self) -> None:
        if self.top_k < 0:
            raise ConfigError(f"top_k is {self.top_k}; give 0 for all tokens, or a positive number")
        if not 0.0 <= self.min_p <= 1.0:
            raise ConfigError(f"min_p is {self.min_p}; give a number from 0 to 1")
        if not self.repetition_penalty > 0.0:
            raise ConfigError(f"repetition_penalty is {self.repetition_penalty}; give a positive number, 1 for none")
        if not 0 <= (self.num_top_log_probs or 0) <= MAX_TOP_LOG_PROBS:
            raise ConfigError(f"num_top_log_probs is {self.num_top_log_probs}; give 0 to {MAX_TOP_LOG_PROBS}")
        if not all((*self.stop, *self.until)):
            raise ConfigError("a stop text is empty; leave it out")

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken each time."""
        return self.temperature < _GREEDY_BELOW


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """One reply to be made: the conversation so far and the pictures that its views are cut from.

    `picture` is the oriented original. Every view is cut from an original, never from another view.
    """

    messages: tuple[Message, ...]
    picture: Image.Image
    sampling: Sampling
    session: str | None = None
    """Requests of one session look at the same pictures, so an engine with several replicas keeps them on one of these,
    where the pictures' tokens are cached. None: a session of its own."""
    further_pictures: tuple[Image.Image, ...] = ()
    """The second original and those behind it, where the question is about several."""

    @property
    def pictures(self) -> tuple[Image.Image, ...]:
        """All originals, in the order of their numbers in views."""
        return (self.picture, *self.further_pictures)


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


@runtime_checkable
class KnowsSampling(Protocol):
    """An engine that does more with a sampling than every engine."""

    @property
    def sampling_fields(self) -> frozenset[SamplingField]:
        """The fields that it knows, of those that not every engine knows."""
        ...


def asked_fields(sampling: Sampling) -> tuple[SamplingField, ...]:
    """The fields that not every engine knows, and that ask for something."""
    return tuple(name for name, nothing in SAMPLING_FIELDS.items() if getattr(sampling, name) != nothing)


def known_fields(engine: Engine) -> frozenset[SamplingField]:
    """Those that `engine` knows."""
    return engine.sampling_fields if isinstance(engine, KnowsSampling) else frozenset()


@runtime_checkable
class HasStreaming(Protocol):
    """An engine that hands a reply out while it is written."""

    def stream(self, request: Request) -> AsyncGenerator[str | Event, None]:
        """The reply in pieces, and last its event: a `ModelReply` of the joined pieces, or why there is none.

        Closing the generator gives the request up.

        Raises:
            EngineError: no request can get a reply before somebody mends something.
        """
        ...


@runtime_checkable
class HasPreparation(Protocol):
    """An engine that can work ahead."""

    def prepare(self, picture: Image.Image, view: View) -> None:
        """Begin what a request that shows `view` of `picture` will need; returns at once."""
        ...


@runtime_checkable
class CanPrune(Protocol):
    """An engine whose model can drop visual tokens."""

    def pruned(self, pruning: Pruning) -> Engine:
        """The engine that takes this one's place: the same model, with tokens dropped.

        Raises:
            ConfigError: the model cannot drop tokens so.
        """
        ...


def pruned_engine(engine: Engine, pruning: Pruning | None) -> Engine:
    """`engine`, or what takes its place where tokens are to be dropped.

    Raises:
        ConfigError: it cannot drop any.
    """
    if pruning is None:
        return engine
    if not isinstance(engine, CanPrune):
        raise ConfigError(
            f"{type(engine).__name__} cannot drop visual tokens; {pruning.method} needs the engine `transformers`, "
            "which runs the model in this process"
        )
    return engine.pruned(pruning)
