"""One request's own engine: the shared driver runs on it, the server's engine answers behind it.

Rule: the driver drives and the core decides; what a request adds is added here, on the way to the engine. A system text
and earlier turns go before the conversation, every turn alike, so that an engine's prefix cache still hits; the tokens
that the whole answer may have are shared out over its turns; and pieces of a reply flow on as far as `flow` lets them.
"""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol as Interface
from typing import runtime_checkable

from visionthink.core.episode import BackendFailed, Event, FinishReason, ModelReply
from visionthink.core.message import Message, Role, TextPart
from visionthink.engines import Engine, Request
from visionthink.serving.flow import Flow
from visionthink.serving.tracing import traced_turn


@runtime_checkable
class HasStreaming(Interface):
    """An engine that hands a reply out while it is written."""

    def stream(self, request: Request) -> AsyncGenerator[str | Event, None]:
        """The reply in pieces, and last its event: a `ModelReply` of the joined pieces, or why there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Preamble:
    """What a client said before its question."""

    system: str | None = None
    """Its system text, joined to the protocol's own."""
    earlier: tuple[Message, ...] = ()
    """Earlier turns, as text."""

    def before(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The conversation that begins with this and goes on with `messages`."""
        own = [message for message in messages[:1] if message.role is Role.SYSTEM]
        texts = [message.text for message in own] + ([self.system] if self.system else [])
        head = (Message(role=Role.SYSTEM, parts=(TextPart(text="\n\n".join(texts)),)),) if texts else ()
        return (*head, *self.earlier, *messages[len(own) :])


class Turns:
    """An engine that answers the turns of one request."""

    def __init__(
        self,
        engine: Engine,
        *,
        preamble: Preamble,
        max_tokens: int | None,
        num_looks: int,
        on_turn: Callable[[Event, float], None],
        on_text: Callable[[str], None] | None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Answer with `engine`, `max_tokens` tokens in all at most (None: each turn as the driver asks).

        In the first `num_looks` turns a call would be granted. `on_turn` is told each event and its seconds, `on_text`
        each text that flows; None asks the engine for whole replies.
        """
        self._engine = engine
        self._preamble = preamble
        self._num_left = max_tokens
        self._num_looks = num_looks
        self._on_turn = on_turn
        self._on_text = on_text
        self._timer = timer
        self._num_turns = 0
        self.num_flowed = 0
        """Characters of the present turn's reply that have flowed."""

    @property
    def model(self) -> str:
        """Name of the model that answers."""
        return self._engine.model

    async def reply(self, request: Request) -> Event:
        """The next turn's event."""
        self._num_turns += 1
        self.num_flowed = 0
        if self._num_left is not None and self._num_left < 1:
            return ModelReply(text="", finish_reason=FinishReason.LENGTH)
        start_s = self._timer()
        bounded = self._bounded(request)
        event = await traced_turn(self._num_turns, bounded, self._asked(bounded))
        self._on_turn(event, self._timer() - start_s)
        if self._num_left is not None and isinstance(event, ModelReply):
            # A server that counts nothing is counted in words, so that a bound stays one.
            self._num_left -= event.num_reply_tokens or len(event.text.split())
        return event

    async def aclose(self) -> None:
        """Nothing to give back: the engine stays with its owner."""

    def _bounded(self, request: Request) -> Request:
        sampling = request.sampling
        if self._num_left is not None:
            sampling = replace(sampling, max_tokens=min(sampling.max_tokens, self._num_left))
        return replace(request, messages=self._preamble.before(request.messages), sampling=sampling)

    async def _asked(self, request: Request) -> Event:
        if self._on_text is None or not isinstance(self._engine, HasStreaming):
            return await self._engine.reply(request)
        flow = Flow(may_look=self._num_turns <= self._num_looks)
        async with aclosing(self._engine.stream(request)) as pieces:
            async for piece in pieces:
                if not isinstance(piece, str):
                    return piece
                if text := flow.feed(piece):
                    self.num_flowed = flow.num_passed
                    self._on_text(text)
        return BackendFailed(error=f"engine {self.model!r} ended its stream without saying how it ended")
