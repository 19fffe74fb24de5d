"""One request's own engine: the shared driver runs on it, the server's engine answers behind it.

Rule: the driver drives and the core decides; what a request adds is added here, on the way to the engine. A system text
and earlier turns go before the conversation, every turn alike, so that an engine's prefix cache still hits; the tokens
that the whole answer may have are shared out over its turns; and pieces of a reply flow on as far as `flow` lets them.

What a client says about its answer (where it stops, what it looks like) must not touch a wish to look closer. In a
turn in which a call would be granted the model writes freely, up to the end of a call; if it answers there, the answer
is cut at the stop, or asked for once more in the form that was asked for.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from visionthink.core.episode import BackendFailed, Event, FinishReason, ModelReply
from visionthink.core.geometry import View
from visionthink.core.message import Message, Role, TextPart
from visionthink.core.reply import CALL_TAGS, AnswerReply, BadCallReply, CallReply, UntaggedReply, parse_reply
from visionthink.core.trace import DrawnToken
from visionthink.engines import Engine, HasPreparation, HasStreaming, Request, Sampling, known_fields
from visionthink.serving.flow import Flow
from visionthink.serving.tracing import traced_turn


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
        closer: tuple[View, ...],
        on_turn: Callable[[Event, float], None],
        on_text: Callable[[str], None] | None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Answer with `engine`, `max_tokens` tokens in all at most (None: each turn as the driver asks).

        In the first `num_looks` turns a call would be granted, which shows `closer` (none: nobody can say before it is
        read). `on_turn` is told each event and its seconds, `on_text` each text that flows; None asks the engine for
        whole replies.
        """
        self._engine = engine
        self._preamble = preamble
        self._num_left = max_tokens
        self._num_looks = num_looks
        self._closer = closer
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
        request = replace(request, messages=self._preamble.before(request.messages))
        wanted = request.sampling
        if self._num_turns > self._num_looks:
            stop = wanted.stop if "stop" in known_fields(self._engine) else ()
            event = await self._asked(request, replace(wanted, stop=stop), Flow(may_look=False, stops=wanted.stop))
        else:
            event = await self._looked(request)
        return _cut(event, wanted.stop)

    async def aclose(self) -> None:
        """Nothing to give back: the engine stays with its owner."""

    async def _looked(self, request: Request) -> Event:
        """The event of a turn in which a call would be granted."""
        wanted = request.sampling
        until = (CALL_TAGS[1],) if "until" in known_fields(self._engine) else ()
        free = replace(wanted, stop=(), form=None, until=until)
        flow = Flow(may_look=True, stops=wanted.stop) if wanted.form is None else None
        event = await self._asked(request, free, flow)
        if wanted.form is None or not (isinstance(event, ModelReply) and _answers(event)):
            return event
        formed = await self._asked(request, replace(wanted, stop=()), Flow(may_look=False, stops=wanted.stop))
        if not isinstance(formed, ModelReply):
            return formed
        return replace(
            formed,
            num_prompt_tokens=event.num_prompt_tokens + formed.num_prompt_tokens,
            num_reply_tokens=event.num_reply_tokens + formed.num_reply_tokens,
            latency_s=event.latency_s + formed.latency_s,
        )

    async def _asked(self, request: Request, sampling: Sampling, flow: Flow | None) -> Event:
        """What the engine says within the bound; without a `flow` nothing of it is passed on."""
        if self._num_left is not None:
            if self._num_left < 1:
                return ModelReply(text="", finish_reason=FinishReason.LENGTH)
            sampling = replace(sampling, max_tokens=min(sampling.max_tokens, self._num_left))
        request, start_s = replace(request, sampling=sampling), self._timer()
        work = self._engine.reply(request) if flow is None else self._flowed(request, flow)
        event = await traced_turn(self._num_turns, request, work)
        self._on_turn(event, self._timer() - start_s)
        if self._num_left is not None and isinstance(event, ModelReply):
            # A server that counts nothing is counted in words, so that a bound stays one.
            self._num_left -= event.num_reply_tokens or len(event.text.split())
        return event

    async def _flowed(self, request: Request, flow: Flow) -> Event:
        if self._on_text is None or not isinstance(self._engine, HasStreaming):
            return await self._engine.reply(request)
        has_begun = False
        async with aclosing(self._engine.stream(request)) as pieces:
            async for piece in pieces:
                if not isinstance(piece, str):
                    broke_off = has_begun and isinstance(piece, BackendFailed) and piece.retryable
                    # What nobody has seen a word of is asked for again, as a whole reply would be.
                    return await self._engine.reply(request) if broke_off and not self.num_flowed else piece
                has_begun = True
                if text := flow.feed(piece):
                    self.num_flowed = flow.num_passed
                    self._on_text(text)
                if flow.has_call:
                    self._prepare(request)
        return BackendFailed(error=f"engine {self.model!r} ended its stream without saying how it ended")

    def _prepare(self, request: Request) -> None:
        """Work ahead while the model writes its call: a view takes as long to encode as a call to write."""
        closer, self._closer = self._closer, ()  # once
        if self._num_turns <= self._num_looks and isinstance(self._engine, HasPreparation):
            for view in closer:
                self._engine.prepare(request.pictures[view.picture], view)


def _answers(reply: ModelReply) -> bool:
    return reply.finish_reason is FinishReason.STOP and isinstance(parse_reply(reply.text), AnswerReply | UntaggedReply)


def _cut(event: Event, stops: Sequence[str]) -> Event:
    """The event, a reply that is no call up to the first of `stops`."""
    if not isinstance(event, ModelReply) or isinstance(parse_reply(event.text), CallReply | BadCallReply):
        return event
    end = min((place for stop in stops if (place := event.text.find(stop)) != -1), default=None)
    if end is None:
        return event
    drawn = None if event.drawn is None else tuple(_tokens_before(end, event.drawn))
    text, reason = event.text[:end], FinishReason.STOP
    return replace(event, text=text, finish_reason=reason, token_ids=None, log_probs=None, drawn=drawn)


def _tokens_before(end: int, tokens: Sequence[DrawnToken]) -> Iterator[DrawnToken]:
    """Those that begin in the first `end` characters."""
    place = 0
    for token in tokens:
        if place >= end:
            return
        place += len(token.text)
        yield token
