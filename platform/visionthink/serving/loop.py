"""Answers one chat request by running one episode.

Rule: what is served is what was trained. The loop adds a deadline and a limit of requests in flight around the driver
that training uses, and nothing in between.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from PIL import Image

from visionthink.core.episode import EpisodeSpec, Finish, Outcome, start
from visionthink.core.geometry import Size
from visionthink.engines import Engine, Sampling
from visionthink.episodes.driver import run_episode
from visionthink.episodes.prompting import Prompting, ViewPolicy
from visionthink.errors import BackendError, DataError
from visionthink.picture import MAX_PIXELS
from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_request import ChatRequest
from visionthink.serving.question import decoded, picture_bytes, question_text

_RETRY_AFTER_S: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits:
    """What a request may cost, and what it gets when it asks for nothing else."""

    max_tokens: int = 1024
    """Tokens of one reply: the default, and the bound of whatever a request allows. An episode has several replies."""
    temperature: float = 0.0
    """Used when a request names none. Greedy, as the evaluation is."""
    max_picture_pixels: int = MAX_PIXELS
    """A larger picture is refused before it is decoded."""
    max_body_bytes: int = 48 * 2**20
    """A larger request is refused before it is read to its end."""
    timeout_s: float = 120.0
    """Deadline of a whole episode, all turns together."""
    max_in_flight: int = 256
    """Requests beyond this are refused with 503 instead of piling up."""
    sign_of_life_s: float = 10.0
    """Seconds between the comments that keep a stream's connection open; common proxies cut it after 60 of silence."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """A request that is fit to be answered."""

    spec: EpisodeSpec
    picture: Image.Image
    sampling: Sampling
    policy: ViewPolicy


class Loop:
    """Runs episodes over one engine, so many at once and each with a deadline."""

    def __init__(self, engine: Engine, prompting: Prompting, limits: ServingLimits) -> None:
        """Answer with `engine`."""
        self._engine = engine
        self._prompting = prompting
        self._limits = limits
        self._num_in_flight = 0

    async def accept(self, request: ChatRequest) -> Question:
        """The question in a request.

        Raises:
            ApiError: 400 or 413, it cannot be answered as it stands.
        """
        text = question_text(request)
        # Decoding megapixels takes long enough to stall every other request of this event loop.
        picture = await asyncio.to_thread(decoded, picture_bytes(request), max_pixels=self._limits.max_picture_pixels)
        policy = request.adaptive.policy
        spec = self._prompting.spec(text, Size(width=picture.width, height=picture.height), policy)
        try:
            start(spec)
        except DataError as error:
            raise ApiError(400, str(error), code="invalid_value", param="messages") from error
        return Question(spec=spec, picture=picture, sampling=self._sampling(request), policy=policy)

    async def answer(self, question: Question) -> Finish:
        """The episode's end, which is never a failed one.

        Raises:
            ApiError: 503 when full or when the engine failed, 504 after the deadline.
        """
        if self._num_in_flight >= self._limits.max_in_flight:
            text = f"{self._num_in_flight} requests are in flight, the most that are taken; try again"
            raise ApiError(503, text, code="overloaded", retry_after_s=_RETRY_AFTER_S)
        self._num_in_flight += 1
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                finish = await run_episode(self._engine, question.spec, question.picture, question.sampling)
        except TimeoutError as error:
            text = f"no answer within {self._limits.timeout_s:g} s; ask for fewer tokens, or try again"
            raise ApiError(504, text, code="timeout") from error
        except BackendError as error:
            raise ApiError(503, str(error), code="engine_failed", retry_after_s=_RETRY_AFTER_S) from error
        finally:
            self._num_in_flight -= 1
        if finish.outcome is Outcome.FAILED:
            text = f"the engine failed: {finish.error}"
            raise ApiError(503, text, code="engine_failed", retry_after_s=_RETRY_AFTER_S)
        return finish

    def _sampling(self, request: ChatRequest) -> Sampling:
        # A request names an upper bound, so a lower one of ours honours it too; `finish_reason` tells when it was met.
        max_tokens = min(request.max_reply_tokens or self._limits.max_tokens, self._limits.max_tokens)
        return Sampling(
            temperature=self._limits.temperature if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            max_tokens=max_tokens,
            seed=request.seed,
        )
