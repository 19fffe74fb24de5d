"""The endpoint `POST /v1/chat/completions`, whole or as a stream.

Rule: a stream and a whole response come from the same finished episode. A turn is not passed on while it is written,
because only its end tells a decision to look closer from an answer; a stream sends the final reply once it stands,
and signs of life until then.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from visionthink.core.episode import Finish
from visionthink.serving.api_error import ApiError, no_such_model
from visionthink.serving.chat_request import ChatRequest, parse_chat_request
from visionthink.serving.chat_response import (
    STREAM_END,
    STREAM_WAIT,
    Heading,
    answer_chunks,
    completion,
    error_chunk,
    first_chunk,
)
from visionthink.serving.connection import read_body, unless_gone
from visionthink.serving.loop import Loop, Question, ServingLimits
from visionthink.serving.metrics import ServingMetrics

_log = logging.getLogger(__name__)

_CLIENT_GONE: Final = 499  # by custom; nobody reads it
_STREAM_HEADERS: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class ChatEndpoint:
    """Answers chat requests through a loop."""

    def __init__(
        self,
        loop: Loop,
        metrics: ServingMetrics,
        *,
        model_name: str,
        limits: ServingLimits,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Answer as `model_name`; `clock` gives Unix time, `timer` measures latencies."""
        self._loop = loop
        self._metrics = metrics
        self._model_name = model_name
        self._limits = limits
        self._clock = clock
        self._timer = timer

    async def __call__(self, request: Request) -> Response:
        """Serve one request."""
        start_s = self._timer()
        heading = Heading(
            request_id=request.scope["state"]["request_id"], model=self._model_name, created_s=int(self._clock())
        )
        try:
            asked = parse_chat_request(await read_body(request, max_bytes=self._limits.max_body_bytes))
            if asked.model != self._model_name:
                raise no_such_model(asked.model, self._model_name)
            question = await self._loop.accept(asked)
            if asked.stream:
                return StreamingResponse(
                    self._streamed(heading, asked, question, start_s),
                    media_type="text/event-stream",
                    headers=_STREAM_HEADERS,
                )
            finish = await unless_gone(request, self._answered(heading.request_id, question, start_s))
        except ApiError as error:
            self._metrics.count_error(error.status)
            return error.response()
        if finish is None:
            self._metrics.count_abandoned()
            return Response(status_code=_CLIENT_GONE)
        return JSONResponse(completion(heading, finish, question.policy))

    async def _answered(self, request_id: str, question: Question, start_s: float) -> Finish:
        finish = await self._loop.answer(question)
        latency_s = self._timer() - start_s
        self._metrics.count_answer(finish, latency_s=latency_s)
        trace = finish.trace
        _log.info(
            "request %s: %s in %d turns, %d visual tokens, %.3f s",
            *(request_id, finish.outcome, len(trace.turns), trace.visual_tokens, latency_s),
        )
        return finish

    async def _streamed(
        self, heading: Heading, asked: ChatRequest, question: Question, start_s: float
    ) -> AsyncIterator[str]:
        with_usage = asked.wants_usage_chunk
        task = asyncio.ensure_future(self._answered(heading.request_id, question, start_s))
        try:
            yield first_chunk(heading, with_usage=with_usage)
            while not (await asyncio.wait({task}, timeout=self._limits.sign_of_life_s))[0]:
                yield STREAM_WAIT
            for chunk in answer_chunks(heading, task.result(), question.policy, with_usage=with_usage):
                yield chunk
        except ApiError as error:
            self._metrics.count_error(error.status)
            yield error_chunk({"error": {**error.body()["error"]}})
        finally:
            if task.cancel():  # true while it was still at work: the client is gone
                self._metrics.count_abandoned()
        yield STREAM_END
