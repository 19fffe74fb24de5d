"""One careful HTTP client for every OpenAI-compatible server: the chat engine and the LLM judge both speak through it.

Rule: each try has a timeout, tries are bounded, and only what may pass on a second try is tried again. What a request
holds is made when a connection is free for it, never before. A stream is tried again until its first word has come, and
holds its connection until it ends or is left. Whatever goes wrong leaves here as a `ChatError` that says which server,
what it answered and whether trying again later makes sense.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam

from visionthink.core.json_value import Json
from visionthink.engines.chat_check import lists_model, read_chunk, read_completion
from visionthink.engines.chat_error import RETRYABLE_STATUS, ChatError, chat_error, retry_after_s, told
from visionthink.engines.chat_http import ChatServer, StatusError, StreamError, UnreachableError, body_of
from visionthink.engines.dialect import ChatSampling, Dialect, adapted
from visionthink.engines.endpoint import Address, Balance, Health, parse_place
from visionthink.network import without_secrets

__all__ = ["ChatClient", "ChatError", "ChatSampling", "RetryRule", "open_client"]

_NO_KEY: Final = "none"  # as OpenAI's own clients, which insist on one; servers inside a cluster usually check none
_PROBE_TIMEOUT_S: Final = 5.0  # a readiness probe asks every few seconds and must not pile up
_MAX_DIALECTS: Final = 6  # each field that a server may refuse, once

_FAILURES: Final = (StatusError, StreamError, UnreachableError, TimeoutError, ValueError)
_REFUSED: Final = frozenset({400, 422})
_COUNTED: Final[Json] = {"include_usage": True}

Messages: TypeAlias = Sequence[ChatCompletionMessageParam] | bytes
"""The conversation, or the JSON text of it."""
Later: TypeAlias = Messages | Callable[[], Awaitable[Messages]]
"""The same, or what makes it once it is needed."""
Result = TypeVar("Result")
Given = TypeVar("Given", covariant=True)


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


class _Ask(NamedTuple):
    """What is asked."""

    messages: Later
    sampling: ChatSampling


class _Way(Protocol[Given]):
    """How a try is made."""

    async def __call__(
        self, server: ChatServer, messages: Messages, fields: dict[str, Json], stack: AsyncExitStack
    ) -> Given:
        """What the server gives; `stack` closes what is left open."""
        ...


class _Begun(NamedTuple):
    """A stream that has begun."""

    events: AsyncGenerator[bytes, None]
    deadline_s: float
    """By the event loop's clock."""
    seen: list[ChatCompletionChunk]
    """What has come of it so far."""

    async def next(self) -> ChatCompletionChunk | None:
        """The next chunk; None at the end."""
        async with asyncio.timeout_at(self.deadline_s):
            event = await anext(self.events, None)
        return None if event is None else read_chunk(event)


class _Found(NamedTuple, Generic[Result]):
    """What a server gave."""

    result: Result
    server: int
    """Its number."""
    tries: int


class _Connection(NamedTuple):
    """One server's connections, which belong to one event loop."""

    server: ChatServer
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
        self,
        messages: Later,
        sampling: ChatSampling,
        *,
        session: str | None = None,
    ) -> ChatCompletion:
        """The completion. `messages` may be a function, called each time a connection is free.

        Raises:
            ChatError: it could not be had; `retryable` when the tries ran out, not when a server refused.
        """
        async with AsyncExitStack() as held:
            found = await self._tried(self._whole, _Ask(messages, sampling), session, held)
        return found.result

    async def stream(
        self,
        messages: Later,
        sampling: ChatSampling,
        *,
        session: str | None = None,
    ) -> AsyncGenerator[ChatCompletionChunk, None]:
        """The completion's chunks as they come; the same as `complete`, but nothing is tried again behind a first word.

        Close the generator to give the request up: its connection is closed at once, which ends the server's work.

        Raises:
            ChatError: it could not be had, or broke off.
        """
        sampling = replace(sampling, wishes={**sampling.wishes, "stream_options": _COUNTED})
        async with AsyncExitStack() as held:
            found = await self._tried(self._begun, _Ask(messages, sampling), session, held)
            begun = found.result
            for chunk in begun.seen:
                yield chunk
            while (further := await self._next(begun, found)) is not None:
                yield further

    async def serves_model(self) -> bool:
        """Whether one of the servers answers and lists the model. One try each."""
        found = await asyncio.gather(*(self._lists_model(index) for index in range(len(self._addresses))))
        return any(found)

    async def aclose(self) -> None:
        """Close the connections. Closing twice is allowed."""
        opened, self._connections = self._connections, ()
        if self._loop is asyncio.get_running_loop():  # those of a loop that has ended are closed with it
            for connection in opened:
                await connection.server.aclose()
        self._loop = None

    def _connection(self, index: int) -> _Connection:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._connections = loop, tuple(map(self._opened, self._addresses))
        return self._connections[index]

    def _opened(self, address: Address) -> _Connection:
        headers = {"Authorization": f"Bearer {self._api_key}"}
        if "api-version" in address.query:  # Azure's older addresses take the key under this name alone
            headers["api-key"] = self._api_key
        server = ChatServer(
            base_url=address.base_url,
            query=address.query,
            headers=headers,
            # One more than there are slots, so that no request waits behind ours for a connection.
            max_connections=self._max_connections + 1,
        )
        return _Connection(server, asyncio.Semaphore(self._max_connections))

    async def _tried(self, way: _Way[Result], ask: _Ask, session: str | None, held: AsyncExitStack) -> _Found[Result]:
        """What `way` gives, tried again as the rule says; from then on `held` holds the connection."""
        retry = 0
        while True:
            index = self._balance.choose(session, self._clock())
            try:
                async with AsyncExitStack() as stack:
                    result = await self._asked(index, way, ask, stack)
                    await held.enter_async_context(stack.pop_all())
            except _FAILURES as error:
                failure = self._translated(error, index, tries=retry + 1)
                if not failure.retryable:
                    raise failure from error
                delay_s = self._retry.delay_s(retry, asked_s=retry_after_s(error), jitter=self._jitter())
                now_s = self._clock()
                if failure.status not in RETRYABLE_STATUS:  # there, but busy, is not away
                    self._balance.failed(index, now_s + delay_s)
                if retry >= self._retry.max_retries:
                    raise failure from error
            else:
                self._balance.answered(index)
                return _Found(result, index, tries=retry + 1)
            if not self._balance.has_other(index, now_s):
                await self._sleep(delay_s)
            retry += 1

    async def _asked(self, index: int, way: _Way[Result], ask: _Ask, stack: AsyncExitStack) -> Result:
        """One try, which `stack` holds a connection for."""
        connection, health = self._connection(index), self._balance.servers[index]
        stack.enter_context(_counted(health))
        await stack.enter_async_context(connection.slots)
        made = await ask.messages() if callable(ask.messages) else ask.messages
        return await self._sent(connection.server, way, made, ask, stack)

    async def _sent(
        self, server: ChatServer, way: _Way[Result], messages: Messages, ask: _Ask, stack: AsyncExitStack
    ) -> Result:
        """The answer, in the first dialect that the server does not refuse."""
        for _ in range(_MAX_DIALECTS):
            dialect = self._dialect
            try:
                return await way(server, messages, dialect.fields(ask.sampling), stack)
            except StatusError as error:
                other = adapted(dialect, told(error), ask.sampling, is_wish=self._is_wish)
                if error.status not in _REFUSED or other is None:
                    raise
                self._dialect = other
        return await way(server, messages, self._dialect.fields(ask.sampling), stack)

    async def _whole(
        self, server: ChatServer, messages: Messages, fields: dict[str, Json], stack: AsyncExitStack
    ) -> ChatCompletion:
        del stack  # nothing is left open
        async with asyncio.timeout(self._timeout_s):
            return read_completion(await server.ask(body_of(self.model, messages, fields, stream=False)))

    async def _begun(
        self, server: ChatServer, messages: Messages, fields: dict[str, Json], stack: AsyncExitStack
    ) -> _Begun:
        """A stream up to its first word, for a server may also fail behind its status."""
        deadline_s = asyncio.get_running_loop().time() + self._timeout_s
        async with asyncio.timeout_at(deadline_s):
            body = body_of(self.model, messages, fields, stream=True)
            events = await stack.enter_async_context(server.stream(body))
        begun = _Begun(events, deadline_s, seen=[])
        while (chunk := await begun.next()) is not None:
            begun.seen.append(chunk)
            if _says_something(chunk):
                break
        if not begun.seen:
            raise ValueError("this is no stream of chat completion chunks: it is empty")
        return begun

    async def _next(self, begun: _Begun, found: _Found[_Begun]) -> ChatCompletionChunk | None:
        try:
            return await begun.next()
        except _FAILURES as error:
            raise self._translated(error, found.server, tries=found.tries) from error

    async def _lists_model(self, index: int) -> bool:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                return lists_model(await self._connection(index).server.list_models(), self.model)
        except _FAILURES:
            return False

    def _translated(self, error: Exception, index: int, *, tries: int) -> ChatError:
        where = f"model {self.model!r} at {without_secrets(self._addresses[index].base_url)}"
        return chat_error(error, where, timeout_s=self._timeout_s, tries=tries)


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


def _says_something(chunk: ChatCompletionChunk) -> bool:
    return any(choice.delta.content or choice.finish_reason for choice in chunk.choices)


@contextmanager
def _counted(health: Health) -> Generator[None]:
    """Counts a request that the server has, or that waits for it."""
    health.num_at_work += 1
    try:
        yield
    finally:
        health.num_at_work -= 1
