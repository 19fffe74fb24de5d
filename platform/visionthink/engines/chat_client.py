"""One careful HTTP client for every OpenAI-compatible server: the chat engine and the LLM judge both speak through it.

Rule: each try has a timeout, tries are bounded, and only what may pass on a second try is tried again. What a request
holds is made when a connection is free for it, never before. Every exception of the `openai` package leaves here as a
`ChatError` that says which server, what it answered and whether trying again later makes sense.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import openai
from openai.types.chat import ChatCompletion, ChatCompletionMessage, ChatCompletionMessageParam

from visionthink.engines.dialect import ChatSampling, Dialect, adapted
from visionthink.engines.endpoint import Address, Balance, parse_place
from visionthink.errors import BackendError
from visionthink.network import async_http_client, without_secrets

__all__ = ["ChatClient", "ChatError", "ChatSampling", "RetryRule", "open_client"]

_NO_KEY: Final = "none"  # the package insists on a key; servers inside a cluster usually check none
_PROBE_TIMEOUT_S: Final = 5.0  # a readiness probe asks every few seconds and must not pile up
_RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 429})  # and every 5xx
_SERVICE_STATUS: Final = frozenset({401, 403, 404, 405, 410})
_MAX_SHOWN: Final = 300
_MAX_DIALECTS: Final = 4  # each field that a server may refuse, once

Messages = Sequence[ChatCompletionMessageParam]


class ChatError(BackendError):
    """A completion that could not be had."""

    def __init__(self, message: str, *, retryable: bool, status: int | None = None) -> None:
        """Keep the HTTP status, None where there was no answer."""
        super().__init__(message, retryable=retryable)
        self.status = status

    @property
    def is_of_service(self) -> bool:
        """Whether no request at all would get another answer: a wrong key, path or model."""
        return self.status in _SERVICE_STATUS


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """How often and how late a failed call is tried again.

    Delay n is `first_delay_s` * 2**n, cut at `max_delay_s`, times a random factor in [0.5, 1): a server that comes back
    is not met by everybody at once. A `Retry-After` header takes the delay's place, cut at `max_delay_s` as well. The
    defaults wait about two and a half minutes in all: a vLLM that is started again is back in one or two.
    """

    max_retries: int = 14
    first_delay_s: float = 0.5
    max_delay_s: float = 20.0

    def delay_s(self, retry: int, *, asked_s: float | None, jitter: float) -> float:
        """Seconds to wait before retry number `retry` (from 0); `jitter` in [0, 1)."""
        if asked_s is not None:
            return min(max(asked_s, 0.0), self.max_delay_s)
        return float(min(self.first_delay_s * 2.0**retry, self.max_delay_s) * (0.5 + 0.5 * jitter))


class _Connection(NamedTuple):
    """One server's connections, which belong to one event loop."""

    client: openai.AsyncOpenAI
    slots: asyncio.Semaphore


class ChatClient:
    """Chat completions from one model, which one or several servers hold. Shared freely between tasks of one loop.

    Connections belong to the event loop in which they were opened: close the client before its loop ends. In another
    loop it opens new ones.
    """

    def __init__(
        self,
        servers: str | Sequence[Address],
        *,
        model: str,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        max_connections: int = 64,
        retry: RetryRule | None = None,
        is_wish: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Talk to `servers`, a base URL (up to and with `/v1`) or several addresses.

        `timeout_s` bounds one try, not the sum of tries; `max_connections` are open to each server at most; `is_wish`
        lets a server that refuses a temperature or a seed choose its own.
        """
        self._addresses = (Address(base_url=servers),) if isinstance(servers, str) else tuple(servers)
        self.model = model
        self._api_key = api_key or _NO_KEY
        self._timeout_s = timeout_s
        self._max_connections = max_connections
        self._retry = retry or RetryRule()
        self._is_wish = is_wish
        self._sleep = sleep
        self._jitter = jitter
        self._clock = clock
        self._dialect = Dialect()
        self._balance = Balance(len(self._addresses))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: tuple[_Connection, ...] = ()

    async def complete(
        self, messages: Messages | Callable[[], Messages], sampling: ChatSampling, *, session: str | None = None
    ) -> ChatCompletion:
        """The completion. `messages` may be a function, called in a thread each time a connection is free.

        Raises:
            ChatError: it could not be had; `retryable` when the tries ran out, not when a server refused.
        """
        retry = 0
        while True:
            index = self._balance.choose(session, self._clock())
            try:
                completion = await self._asked(index, messages, sampling)
            except (openai.OpenAIError, TimeoutError, ValueError) as error:
                failure = self._translated(error, index, tries=retry + 1)
                if not failure.retryable:
                    raise failure from error
                delay_s = self._retry.delay_s(retry, asked_s=_retry_after_s(error), jitter=self._jitter())
                now_s = self._clock()
                if failure.status not in _RETRYABLE_STATUS:  # there, but busy, is not away
                    self._balance.failed(index, now_s + delay_s)
                if retry >= self._retry.max_retries:
                    raise failure from error
            else:
                self._balance.answered(index)
                return completion
            if not self._balance.has_other(index, now_s):
                await self._sleep(delay_s)
            retry += 1

    async def serves_model(self) -> bool:
        """Whether one of the servers answers and lists the model. One try each."""
        found = await asyncio.gather(*(self._lists_model(index) for index in range(len(self._addresses))))
        return any(found)

    async def aclose(self) -> None:
        """Close the connections. Closing twice is allowed."""
        opened, self._connections = self._connections, ()
        if self._loop is asyncio.get_running_loop():  # those of a loop that has ended are closed with it
            for connection in opened:
                await connection.client.close()
        self._loop = None

    def _connection(self, index: int) -> _Connection:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._connections = loop, tuple(map(self._opened, self._addresses))
        return self._connections[index]

    def _opened(self, address: Address) -> _Connection:
        client = openai.AsyncOpenAI(
            base_url=address.base_url,
            api_key=self._api_key,
            timeout=self._timeout_s,
            max_retries=0,
            default_query=dict(address.query),
            # Azure's older addresses take the key under this name alone.
            default_headers={"api-key": self._api_key} if "api-version" in address.query else {},
            # One more than there are slots, so that no request waits behind ours for a connection.
            http_client=async_http_client(address.base_url, max_connections=self._max_connections + 1),
        )
        return _Connection(client, asyncio.Semaphore(self._max_connections))

    async def _asked(
        self, index: int, messages: Messages | Callable[[], Messages], sampling: ChatSampling
    ) -> ChatCompletion:
        connection, health = self._connection(index), self._balance.servers[index]
        health.num_at_work += 1
        try:
            async with connection.slots:
                # Cutting and compressing a view takes long enough to stall every other request of this loop.
                made = await asyncio.to_thread(messages) if callable(messages) else messages
                return await self._sent(connection.client, made, sampling)
        finally:
            health.num_at_work -= 1

    async def _sent(self, client: openai.AsyncOpenAI, messages: Messages, sampling: ChatSampling) -> ChatCompletion:
        """The answer, in the first dialect that the server does not refuse."""
        for _ in range(_MAX_DIALECTS):
            dialect = self._dialect
            try:
                return await self._one_try(client, messages, dialect.fields(sampling))
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                other = adapted(dialect, _told(error), sampling, is_wish=self._is_wish)
                if other is None:
                    raise
                self._dialect = other
        return await self._one_try(client, messages, self._dialect.fields(sampling))

    async def _one_try(
        self, client: openai.AsyncOpenAI, messages: Messages, fields: dict[str, float | int]
    ) -> ChatCompletion:
        options: Any = fields
        # The package's own timeout restarts with every byte that arrives; this one bounds the whole try.
        async with asyncio.timeout(self._timeout_s):
            completion = await client.chat.completions.create(model=self.model, messages=list(messages), **options)
        return _checked(completion)

    async def _lists_model(self, index: int) -> bool:
        client = self._connection(index).client
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                return self.model in [model.id async for model in client.models.list()]
        except (openai.OpenAIError, TimeoutError, ValueError):
            return False

    def _translated(self, error: Exception, index: int, *, tries: int) -> ChatError:
        where = f"model {self.model!r} at {without_secrets(self._addresses[index].base_url)}"
        match error:
            case openai.APITimeoutError() | TimeoutError():
                return ChatError(f"{where}: no answer within {self._timeout_s} s ({tries} tries)", retryable=True)
            case openai.APIConnectionError():
                reason = str(error.__cause__ or error)[:_MAX_SHOWN]
                return ChatError(f"{where}: cannot connect: {reason} ({tries} tries)", retryable=True)
            case openai.APIStatusError():
                status = error.status_code
                return ChatError(
                    f"{where}: HTTP {status}: {_told(error)} ({tries} tries)",
                    retryable=status >= 500 or status in _RETRYABLE_STATUS,
                    status=status,
                )
            case _:
                told = str(error)[:_MAX_SHOWN]
                return ChatError(f"{where}: unreadable answer: {told} ({tries} tries)", retryable=False)


def open_client(
    place: str,
    *,
    api_key: str | None,
    timeout_s: float,
    max_connections: int,
    max_retries: int | None = None,
    is_wish: bool = False,
) -> ChatClient:
    """A client for `http://HOST:PORT/v1?model=NAME`, or for several such addresses; see `parse_place`.

    Raises:
        ConfigError: `place` names no server, or not one model.
    """
    addresses, model = parse_place(place)
    return ChatClient(
        addresses,
        model=model,
        api_key=api_key,
        timeout_s=timeout_s,
        max_connections=max_connections,
        retry=None if max_retries is None else RetryRule(max_retries=max_retries),
        is_wish=is_wish,
    )


def _told(error: openai.APIStatusError) -> str:
    """What a server said, whatever the shape of its body: the innermost text there is."""
    body: object = error.body
    for key in ("error", "message", "detail", "msg"):
        if isinstance(body, list) and body:
            body = body[0]
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    text = body if isinstance(body, str) and body.strip() else error.message
    param = error.body.get("param") if isinstance(error.body, dict) else None
    named = f"{text} ({param})" if isinstance(param, str) and param not in text else text
    return " ".join(named.split())[:_MAX_SHOWN]


def _checked(completion: object) -> ChatCompletion:
    """The completion, if it is one: the package builds its objects from any JSON, and hands other texts through.

    Raises:
        ValueError: it is none.
    """
    choices = completion.choices if isinstance(completion, ChatCompletion) else None
    is_sound = isinstance(choices, list) and all(
        isinstance(message := getattr(choice, "message", None), ChatCompletionMessage)
        and isinstance(message.content, str | None)
        for choice in choices
    )
    if not isinstance(completion, ChatCompletion) or not is_sound or not _counts(completion.usage):
        raise ValueError(f"this is no chat completion: {str(completion)[:200]!r}")
    return completion


def _counts(usage: object) -> bool:
    """Whether the tokens that a server tells, if it tells them, are numbers."""
    names = ("prompt_tokens", "completion_tokens")
    return usage is None or all(isinstance(getattr(usage, name, None), int) for name in names)


def _retry_after_s(error: Exception) -> float | None:
    """Seconds that the server asked to wait; None when it did not, or gave a date (RFC 9110, 10.2.3)."""
    if not isinstance(error, openai.APIStatusError):
        return None
    try:
        return float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
