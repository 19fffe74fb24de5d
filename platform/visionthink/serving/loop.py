"""Answers one chat request by running one episode.

Rule: what is served is what was trained. The loop puts limits around the driver that training uses and the request's
own wishes on the way to the engine (see `turns`), and nothing in between.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple, TypeVar

from PIL import Image

from visionthink.core.episode import EpisodeSpec, Event, Finish, Outcome, full_views, start
from visionthink.core.first_look import FirstLookMode
from visionthink.core.geometry import Size, View
from visionthink.core.message import Message
from visionthink.core.tool import ResizeImage
from visionthink.data_url import is_data_url
from visionthink.engines import Engine, Sampling, known_fields
from visionthink.engines.engine import SamplingField, asked_fields
from visionthink.episodes.driver import derived_seed, run_episode
from visionthink.episodes.plain import plain_messages, run_plain
from visionthink.episodes.prompting import Prompting, ViewPolicy
from visionthink.errors import BackendError, DataError
from visionthink.serving.admission import Seat
from visionthink.serving.api_error import ApiError, bad_value, too_long
from visionthink.serving.chat_request import (
    ChatRequest,
    asked_first_look,
    asked_policy,
    client_name,
    parse_chat_request,
)
from visionthink.serving.conversation import SentPicture, conversation_of
from visionthink.serving.deadline import Deadline
from visionthink.serving.picture_source import BYTES_PER_PIXEL, decoded, pixels_of, unpacked
from visionthink.serving.refusal import unsupported
from visionthink.serving.remote import RemotePictures
from visionthink.serving.turns import Preamble, Turns

_RETRY_AFTER_S: Final = 1
_SMALL_BYTES: Final = 2**16

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits:
    """What a request may cost, and what it gets when it asks for nothing else."""

    max_tokens: int = 1024
    """Tokens of one reply, whatever a request allows for its whole answer. An episode has several replies."""
    temperature: float = 0.0
    """Used when a request names none. Greedy, as the evaluation is."""
    max_picture_pixels: int = 16 * 2**20
    """A larger picture is refused before it is decoded. Four times the largest view that the paper's model is shown."""
    max_pictures: int = 4
    """A conversation with more of them is refused."""
    max_body_bytes: int = 48 * 2**20
    """A larger request is refused before it is read to its end."""
    timeout_s: float = 120.0
    """Of a request from its upload's end on: wait, picture and all turns together; and, before that, of the upload."""
    max_in_flight: int = 256
    """Requests that are decoded and answered at a time."""
    max_queued: int = 256
    """Requests that may wait for one of those to end; more are refused with 429 before they are read."""
    max_wait_s: float = 10.0
    """Longest wait; then 429."""
    max_held_bytes: int = 2 * 2**30
    """Bytes of bodies and pixels that the requests in flight may hold together."""
    num_decoders: int = 2
    """Requests that are parsed and decoded at the same time."""
    first_byte_s: float = 0.5
    """Seconds that a stream waits for a first word, or for an error that can still be told as an HTTP status."""
    sign_of_life_s: float = 10.0
    """Seconds between the comments that keep a stream's connection open; common proxies cut it after 60 of silence."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """A request that is fit to be answered."""

    ask: EpisodeSpec | tuple[Message, ...]
    """The episode; or the one turn of a question without a picture."""
    pictures: tuple[Image.Image, ...]
    sampling: Sampling
    policy: ViewPolicy
    preamble: Preamble
    max_answer_tokens: int | None
    full_visual_tokens: int
    """What the full views alone would cost; 0 without a picture."""
    num_choices: int
    """Answers to give, each with an episode of its own."""
    is_streamed: bool
    with_usage: bool
    """Whether a stream ends with the usage."""

    @property
    def with_log_probs(self) -> bool:
        """Whether the log-probabilities of the answers' tokens are told."""
        return self.sampling.num_top_log_probs is not None

    @property
    def num_looks(self) -> int:
        """Turns in which a call would be granted."""
        spec = self.ask
        return spec.max_turns - 1 if isinstance(spec, EpisodeSpec) and spec.protocol.offers_tools else 0

    @property
    def closer(self) -> tuple[View, ...]:
        """What a call shows, where there is one tool and its choice is known."""
        spec = self.ask
        if not isinstance(spec, EpisodeSpec) or spec.toolbox.names != (ResizeImage().name,):
            return ()
        return full_views(spec)


class Answered(NamedTuple):
    """The end of a request's episode."""

    finish: Finish
    num_flowed: int
    """Characters of the final reply that have flowed already."""


class Loop:
    """Runs episodes over one engine."""

    def __init__(
        self,
        engine: Engine,
        prompting: Prompting,
        limits: ServingLimits,
        *,
        policy: ViewPolicy = "auto",
        first_look: FirstLookMode = "off",
        remote: RemotePictures | None = None,
    ) -> None:
        """Answer with `engine`; `policy` and `first_look` are those of requests that name none.

        Without `remote` nothing is fetched.
        """
        self._engine = engine
        self._prompting = prompting
        self._limits = limits
        self._policy = policy
        self._first_look = first_look
        self._remote = remote
        self._decoders = ThreadPoolExecutor(limits.num_decoders, thread_name_prefix="decoder")

    async def aclose(self) -> None:
        """End decoders and connections; what the decoders have begun is not waited for."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        if self._remote is not None:
            await self._remote.aclose()

    async def read(self, body: bytearray) -> ChatRequest:
        """The request in `body`.

        Raises:
            ApiError: 400 or 422, it is none.
        """
        if len(body) <= _SMALL_BYTES:  # read faster than handed to another thread
            return parse_chat_request(body)
        return await self._decoding(partial(parse_chat_request, body))

    async def accept(self, request: ChatRequest, seat: Seat) -> Question:
        """The question in a request, whose pixels `seat` holds from now on.

        Raises:
            ApiError: 400, 413 or 429, it cannot be answered as it stands.
        """
        conversation = conversation_of(request.messages)
        sent = conversation.pictures
        policy = request.options.policy or self._policy
        pictures: tuple[Image.Image, ...] = ()
        ask: EpisodeSpec | tuple[Message, ...]
        if not sent:
            full_tokens = 0
            ask = plain_messages(self._prompting.direct_protocol, conversation.question)
        else:
            self._check_number(sent)
            policy = asked_policy(request, [one.url for one in sent]) or self._policy
            pictures = tuple([await self._picture(one, seat) for one in sent])
            first, *further = (Size(width=picture.width, height=picture.height) for picture in pictures)
            prompting = replace(self._prompting, max_turns=request.options.max_turns or self._prompting.max_turns)
            ask = prompting.spec(
                conversation.question,
                first,
                policy,
                asked_first_look(request, policy) or self._first_look,
                further_originals=tuple(further),
            )
            full_tokens = _checked(ask, sent[0].where if len(sent) == 1 else "messages")
        return Question(
            ask=ask,
            pictures=pictures,
            sampling=self._sampling(request),
            policy=policy,
            preamble=conversation.preamble,
            max_answer_tokens=request.max_answer_tokens,
            full_visual_tokens=full_tokens,
            num_choices=request.n or 1,
            is_streamed=request.stream is True,
            with_usage=request.wants_usage_chunk,
        )

    async def answer(
        self,
        question: Question,
        *,
        session: str,
        deadline: Deadline,
        choice: int = 0,
        on_turn: Callable[[Event, float], None],
        on_text: Callable[[str], None] | None = None,
    ) -> Answered:
        """The episode's end, which is never a failed one. With `on_text`, what may flow goes there as it is written.

        `session` keeps the turns on one replica of the engine. Each `choice` draws anew from the request's seed.

        Raises:
            ApiError: 400, the question does not fit the model; 502 or 503, the engine failed; 504, it took too long.
        """
        turns = Turns(
            self._engine,
            preamble=question.preamble,
            max_tokens=question.max_answer_tokens,
            num_looks=question.num_looks,
            closer=question.closer,
            on_turn=on_turn,
            on_text=on_text,
        )
        try:
            async with deadline.kept():
                finish = await _finish(turns, question, session, choice)
        except BackendError as error:
            raise _engine_error(str(error), is_retryable=error.retryable) from error
        if finish.outcome is Outcome.FAILED:
            if not finish.retryable and (asked := asked_fields(question.sampling)):
                raise _refused_fields(finish.error or "", asked)
            raise _engine_error(f"the engine failed: {finish.error}", is_retryable=finish.retryable)
        if finish.outcome is Outcome.NO_ROOM and not finish.trace.turns:
            raise too_long(finish.error or "")
        return Answered(finish, turns.num_flowed)

    def _check_number(self, sent: Sequence[SentPicture]) -> None:
        max_pictures = self._limits.max_pictures
        if len(sent) > max_pictures:
            raise bad_value(
                f"the conversation holds {len(sent)} pictures, and {max_pictures} at most are looked at here; leave "
                "some out",
                param=sent[max_pictures].where,
            )

    async def _picture(self, sent: SentPicture, seat: Seat) -> Image.Image:
        max_pixels = self._limits.max_picture_pixels
        if self._remote is not None and not is_data_url(sent.url.url):
            data = await self._remote.fetch(sent.url.url, where=sent.where, hold=seat.hold)
            pixels = pixels_of(data, max_pixels=max_pixels, where=sent.where)
        else:
            data, pixels = await self._decoding(partial(unpacked, sent, max_pixels=max_pixels))
        seat.hold(pixels * BYTES_PER_PIXEL)
        return await self._decoding(partial(decoded, data, max_pixels=max_pixels, where=sent.where))

    async def _decoding(self, work: Callable[[], Result]) -> Result:
        # Parsing and decoding megabytes takes long enough to stall every other request of this event loop.
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work)

    def _sampling(self, request: ChatRequest) -> Sampling:
        form = request.form()
        sampling = Sampling(
            temperature=self._limits.temperature if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            max_tokens=self._limits.max_tokens,
            seed=request.seed,
            top_k=max(request.top_k or 0, 0),
            min_p=request.min_p or 0.0,
            presence_penalty=request.presence_penalty or 0.0,
            frequency_penalty=request.frequency_penalty or 0.0,
            repetition_penalty=request.repetition_penalty or 1.0,
            stop=request.stops,
            num_top_log_probs=request.num_top_log_probs,
            form=form and form[1],
        )
        # An answer is cut at a stop here, so no engine need know of it.
        for name in set(asked_fields(sampling)) - known_fields(self._engine) - {"stop"}:
            field = form[0] if form and name == "form" else client_name(name)
            raise unsupported(field, "the engine that runs it does not know it")
        return sampling


async def _finish(turns: Turns, question: Question, session: str, choice: int) -> Finish:
    sampling = question.sampling
    if choice and sampling.seed is not None:
        sampling = replace(sampling, seed=derived_seed(sampling.seed, choice))
    if isinstance(question.ask, EpisodeSpec):
        first, *further = question.pictures
        return await run_episode(turns, question.ask, first, sampling, further_pictures=tuple(further), session=session)
    return await run_plain(turns, question.ask, sampling, session=session)


def _checked(spec: EpisodeSpec, where: str) -> int:
    """The visual tokens of the full views.

    Raises:
        ApiError: 400, no episode can begin like this.
    """
    try:
        start(spec)
        return sum(view.visual_tokens for view in full_views(spec))
    except DataError as error:
        raise bad_value(str(error), param=where) from error


def _refused_fields(text: str, asked: Sequence[SamplingField]) -> ApiError:
    """The error for a refusal that a field of the request's own has most likely met."""
    names = [client_name(name) for name in asked]
    named = next((name for name in names if name in text), names[0])
    return bad_value(f"the engine refused the request, which sets {', '.join(names)}: {text}", param=named)


def _engine_error(text: str, *, is_retryable: bool) -> ApiError:
    if is_retryable:
        return ApiError(503, text, code="engine_failed", retry_after_s=_RETRY_AFTER_S)
    return ApiError(502, text, code="engine_refused", is_final=True)
