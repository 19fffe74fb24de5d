"""The endpoint `POST /v1/chat/completions`, whole or as a stream.

Rule: a request gets its seat before it costs anything, and leaves it in any case. A stream and a whole response come
from the same episode: what decides between an answer and a wish to look closer is not passed on, the final reply flows
as far as the engine hands it out, and until then there are signs of life. What fails before the first word is told by
the HTTP status in both forms.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple, TypeAlias, assert_never

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from visionthink.serving.admission import Admission, Seat
from visionthink.serving.api_error import ApiError, internal_error, no_such_model
from visionthink.serving.caller import caller_name
from visionthink.serving.chat_response import (
    STREAM_END,
    STREAM_WAIT,
    Heading,
    completion,
    error_chunk,
    first_chunk,
    last_chunks,
    text_chunk,
    usage_chunk,
)
from visionthink.serving.connection import read_body, unless_gone
from visionthink.serving.deadline import Deadline
from visionthink.serving.live import End, EventStream, Live
from visionthink.serving.loop import Answered, Loop, Question, ServingLimits
from visionthink.serving.metrics import ServingMetrics

_log = logging.getLogger(__name__)

_CLIENT_GONE: Final = 499  # by custom; nobody reads it


class _Flowed(NamedTuple):
    """A piece of a choice's answer."""

    choice: int
    text: str


class _Ended(NamedTuple):
    """A choice is answered."""

    choice: int
    answered: Answered


_Item: TypeAlias = _Flowed | _Ended


class ChatEndpoint:
    """Answers chat requests through a loop."""

    def __init__(
        self,
        loop: Loop,
        admission: Admission,
        metrics: ServingMetrics,
        *,
        model_name: str,
        limits: ServingLimits,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Answer as `model_name`; `clock` gives Unix time, `timer` measures latencies."""
        self._loop = loop
        self._admission = admission
        self._metrics = metrics
        self._model_name = model_name
        self._limits = limits
        self._clock = clock
        self._timer = timer

    async def __call__(self, request: Request) -> Response:
        """Serve one request."""
        heading = Heading(
            request_id=request.scope["state"]["request_id"], model=self._model_name, created_s=int(self._clock())
        )
        try:
            with ExitStack() as stack:
                seat = stack.enter_context(self._admission.enter(caller_name(request.scope)))
                response = await self._admitted(request, heading, seat)
                if isinstance(response, EventStream):
                    stack.pop_all()  # it leaves its seat when it ends
                return response
        except ApiError as error:
            self._metrics.count_error(error)
            return error.response()
        except ClientDisconnect:
            return self._abandoned()

    async def _admitted(self, request: Request, heading: Heading, seat: Seat) -> Response:
        start_s = self._timer()
        limits = self._limits
        reading = read_body(request, seat, max_bytes=limits.max_body_bytes)
        # The body is handed on without a name here, which would keep it for as long as the answer takes.
        question = await unless_gone(request, self._question(await reading, seat))
        if question is None:
            return self._abandoned()
        work = partial(self._answers, heading.request_id, question, start_s, seat.deadline)
        if question.is_streamed:
            return await self._stream(heading, question, Live(work), seat)
        answered = await unless_gone(request, work(None))
        if answered is None:
            return self._abandoned()
        finishes = [one.finish for one in answered]
        return JSONResponse(completion(heading, finishes, question.policy, with_log_probs=question.with_log_probs))

    async def _question(self, body: bytearray, seat: Seat) -> Question:
        arrived_s, num_bytes = self._timer(), len(body)
        async with seat.deadline.kept():
            await seat.wait_for_engine()
            start_s = self._timer()
            self._metrics.count_wait(start_s - arrived_s)
            asked = await self._loop.read(body)
            del body  # what is read is no longer held twice
            if asked.model != self._model_name:
                raise no_such_model(asked.model, self._model_name)
            question = await self._loop.accept(asked, seat)
        seat.drop(num_bytes)
        self._metrics.count_picture(self._timer() - start_s)
        return question

    async def _answers(
        self,
        request_id: str,
        question: Question,
        start_s: float,
        deadline: Deadline,
        on_item: Callable[[_Item], None] | None,
    ) -> list[Answered]:
        """Every choice's answer; if one fails, so does the whole, and the others are given up."""
        if on_item is not None:
            on_item = self._timed(on_item, start_s)

        async def answer(choice: int) -> Answered:
            on_text = None if on_item is None else lambda text: on_item(_Flowed(choice, text))
            answered = await self._answered(request_id, question, start_s, deadline, choice, on_text)
            if on_item is not None:
                on_item(_Ended(choice, answered))
            return answered

        tasks = [asyncio.ensure_future(answer(choice)) for choice in range(question.num_choices)]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _answered(
        self,
        request_id: str,
        question: Question,
        start_s: float,
        deadline: Deadline,
        choice: int,
        on_text: Callable[[str], None] | None,
    ) -> Answered:
        answered = await self._loop.answer(
            question,
            session=request_id,
            deadline=deadline,
            choice=choice,
            on_turn=self._metrics.count_turn,
            on_text=on_text,
        )
        latency_s = self._timer() - start_s
        finish = answered.finish
        self._metrics.count_answer(
            finish, question.policy, full_visual_tokens=question.full_visual_tokens, latency_s=latency_s
        )
        _log.info(
            "request %s: %s in %d turns, %d visual tokens, %.3f s",
            *(request_id, finish.outcome, len(finish.trace.turns), finish.trace.visual_tokens, latency_s),
        )
        return answered

    def _timed(self, on_item: Callable[[_Item], None], start_s: float) -> Callable[[_Item], None]:
        """`on_item`, with a watch on the first word of whichever choice has it first."""
        is_first = True

        def told(item: _Item) -> None:
            nonlocal is_first
            if is_first and isinstance(item, _Flowed):
                self._metrics.count_first_word(self._timer() - start_s)
                is_first = False
            on_item(item)

        return told

    async def _stream(
        self, heading: Heading, question: Question, live: Live[_Item, list[Answered]], seat: Seat
    ) -> Response:
        def end() -> None:
            if live.abandon():
                self._metrics.count_abandoned()
            seat.leave()

        with ExitStack() as stack:
            stack.callback(end)
            first = await live.next(timeout_s=self._limits.first_byte_s)
            if isinstance(first, End):
                live.result()  # an error that came before the first word still has its status
            stack.pop_all()
        return EventStream(self._events(heading, question, live, first), on_end=end)

    async def _events(
        self,
        heading: Heading,
        question: Question,
        live: Live[_Item, list[Answered]],
        item: _Item | End | None,
    ) -> AsyncIterator[str]:
        for index in range(question.num_choices):
            yield first_chunk(heading, index, with_usage=question.with_usage)
        while not isinstance(item, End):
            for event in _events_of(item, heading, question):
                yield event
            item = await live.next(timeout_s=self._limits.sign_of_life_s)
        try:
            answered = live.result()
        except Exception as error:  # the status is sent: whatever it is has to be told in the stream
            yield error_chunk({"error": {**self._told(error, heading).body()["error"]}})
        else:
            if question.with_usage:
                yield usage_chunk(heading, [one.finish for one in answered])
        yield STREAM_END

    def _told(self, error: Exception, heading: Heading) -> ApiError:
        if not isinstance(error, ApiError):
            _log.error("request %s failed", heading.request_id, exc_info=error)
            error = internal_error(heading.request_id)
        self._metrics.count_error(error)
        return error

    def _abandoned(self) -> Response:
        self._metrics.count_abandoned()
        return Response(status_code=_CLIENT_GONE)


def _events_of(item: _Item | None, heading: Heading, question: Question) -> Iterator[str]:
    match item:
        case None:
            yield STREAM_WAIT
        case _Flowed():
            yield text_chunk(heading, item.choice, item.text, with_usage=question.with_usage)
        case _Ended():
            yield from last_chunks(
                heading,
                item.choice,
                item.answered.finish,
                question.policy,
                num_flowed=item.answered.num_flowed,
                with_log_probs=question.with_log_probs,
                with_usage=question.with_usage,
            )
        case _:
            assert_never(item)
