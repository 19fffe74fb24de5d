"""One careful HTTP client for every OpenAI-compatible server: the chat engine and the LLM judge both speak through it.

Rule: each try has a timeout, tries are bounded, and only what may pass on a second try is tried again. Every exception
of the `openai` package leaves here as a `BackendError` that says which server, what it answered and whether trying
again later makes sense.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit, urlunsplit

import openai
from openai.types.chat import ChatCompletion, ChatCompletionMessage, ChatCompletionMessageParam

from visionthink.engines.loop_thread import LoopThread
from visionthink.errors import BackendError, ConfigError

_NO_KEY: Final = "none"  # the package insists on a key; servers inside a cluster usually check none
_PROBE_TIMEOUT_S: Final = 5.0  # a readiness probe asks every few seconds and must not pile up
_RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 429})  # and every 5xx


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """How often and how late a failed call is tried again.

    Delay n is `first_delay_s` * 2**n, cut at `max_delay_s`, times a random factor in [0.5, 1): a server that comes back
    is not met by everybody at once. A `Retry-After` header takes the delay's place, cut at `max_delay_s` as well.
    """

    max_retries: int = 4
    first_delay_s: float = 0.5
    max_delay_s: float = 20.0

    def delay_s(self, retry: int, *, asked_s: float | None, jitter: float) -> float:
        """Seconds to wait before retry number `retry` (from 0); `jitter` in [0, 1)."""
        if asked_s is not None:
            return min(max(asked_s, 0.0), self.max_delay_s)
        return float(min(self.first_delay_s * 2.0**retry, self.max_delay_s) * (0.5 + 0.5 * jitter))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSampling:
    """The sampling fields that every OpenAI-compatible server knows; `seed` None leaves it to the server."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int | None


class _Session(NamedTuple):
    """What lives in the client's own event loop."""

    client: openai.AsyncOpenAI
    slots: asyncio.Semaphore


class ChatClient:
    """Chat completions from one model of one server. Shared freely between event loops and threads."""

    def __init__(
        self,
        base_url: str,
        *,
        model: str,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        max_connections: int = 64,
        retry: RetryRule | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Talk to `base_url` (up to and with `/v1`); `timeout_s` bounds one try, not the sum of tries."""
        self.base_url = base_url
        self.model = model
        self._api_key = api_key or _NO_KEY
        self._timeout_s = timeout_s
        self._max_connections = max_connections
        self._retry = retry or RetryRule()
        self._sleep = sleep
        self._jitter = jitter
        self._thread = LoopThread(name="chat-client")
        self._session: _Session | None = None

    async def complete(self, messages: list[ChatCompletionMessageParam], sampling: ChatSampling) -> ChatCompletion:
        """The server's completion.

        Raises:
            BackendError: it could not be had; `retryable` when the tries ran out, not when the server refused.
        """
        return await self._thread.run(self._complete(messages, sampling))

    async def serves_model(self) -> bool:
        """Whether the server answers and lists the model. One try."""
        return await self._thread.run(self._serves_model())

    async def aclose(self) -> None:
        """Close the connections. Closing twice is allowed."""
        if self._session is not None:
            await self._thread.run(self._close())
        await self._thread.aclose()

    def _open(self) -> _Session:
        if self._session is None:
            client = openai.AsyncOpenAI(
                base_url=self.base_url, api_key=self._api_key, timeout=self._timeout_s, max_retries=0
            )
            self._session = _Session(client, asyncio.Semaphore(self._max_connections))
        return self._session

    async def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.client.close()

    async def _complete(self, messages: list[ChatCompletionMessageParam], sampling: ChatSampling) -> ChatCompletion:
        session = self._open()
        async with session.slots:
            return await self._tried(lambda: self._ask(session.client, messages, sampling))

    async def _serves_model(self) -> bool:
        client = self._open().client
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                return self.model in [model.id async for model in client.models.list()]
        except (openai.OpenAIError, TimeoutError, ValueError):
            return False

    async def _ask(
        self, client: openai.AsyncOpenAI, messages: list[ChatCompletionMessageParam], sampling: ChatSampling
    ) -> ChatCompletion:
        # The package's own timeout restarts with every byte that arrives; this one bounds the whole try.
        async with asyncio.timeout(self._timeout_s):
            completion = await client.chat.completions.create(
                model=self.model,
                messages=messages,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                seed=openai.omit if sampling.seed is None else sampling.seed,
            )
        return _checked(completion)

    async def _tried(self, ask: Callable[[], Awaitable[ChatCompletion]]) -> ChatCompletion:
        retry = 0
        while True:
            try:
                return await ask()
            except (openai.OpenAIError, TimeoutError, ValueError) as error:
                failure = self._translated(error, tries=retry + 1)
                if not failure.retryable or retry >= self._retry.max_retries:
                    raise failure from error
                delay_s = self._retry.delay_s(retry, asked_s=_retry_after_s(error), jitter=self._jitter())
            await self._sleep(delay_s)
            retry += 1

    def _translated(self, error: Exception, *, tries: int) -> BackendError:
        where = f"model {self.model!r} at {self.base_url}"
        match error:
            case openai.APITimeoutError() | TimeoutError():
                return BackendError(f"{where}: no answer within {self._timeout_s} s ({tries} tries)", retryable=True)
            case openai.APIConnectionError():
                return BackendError(
                    f"{where}: cannot connect: {error.__cause__ or error} ({tries} tries)", retryable=True
                )
            case openai.APIStatusError():
                retryable = error.status_code >= 500 or error.status_code in _RETRYABLE_STATUS
                text = f"{where}: HTTP {error.status_code}: {error.message} ({tries} tries)"
                return BackendError(text, retryable=retryable)
            case _:
                return BackendError(f"{where}: unreadable answer: {error} ({tries} tries)", retryable=False)


def open_client(place: str, *, api_key: str | None, timeout_s: float, max_connections: int) -> ChatClient:
    """A client for `http://HOST:PORT/v1?model=NAME`.

    Raises:
        ConfigError: `place` names no server, or not one model.
    """
    parts = urlsplit(place)
    models = parse_qs(parts.query).get("model", [])
    if parts.scheme not in ("http", "https") or not parts.netloc or len(models) != 1:
        raise ConfigError(f"openai:{place} names no server and model; write openai:http://HOST:PORT/v1?model=NAME")
    base_url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    return ChatClient(base_url, model=models[0], api_key=api_key, timeout_s=timeout_s, max_connections=max_connections)


def _checked(completion: object) -> ChatCompletion:
    """The completion, if it is one: the package builds its objects from any JSON, and hands other texts through.

    Raises:
        ValueError: it is none.
    """
    choices = completion.choices if isinstance(completion, ChatCompletion) else None
    is_sound = isinstance(choices, list) and all(
        isinstance(getattr(choice, "message", None), ChatCompletionMessage) for choice in choices
    )
    if not isinstance(completion, ChatCompletion) or not is_sound:
        raise ValueError(f"this is no chat completion: {str(completion)[:200]!r}")
    return completion


def _retry_after_s(error: Exception) -> float | None:
    """Seconds that the server asked to wait; None when it did not, or gave a date (RFC 9110, 10.2.3)."""
    if not isinstance(error, openai.APIStatusError):
        return None
    try:
        return float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
