"""What every engine promises, whatever makes its replies.

The chat engine is tested over real HTTP, once before a scripted engine and once before a real model.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.contract.engines.chat_server import chat_server
from tests.unit.engines.conversation import RULE, noise, reply, user, view
from tests.unit.engines.tiny_model import saved_model, tiny_model, tiny_processor

from visionthink.core.episode import BackendFailed, EpisodeSpec, Event, FinishReason, ModelReply, NoRoom, Outcome
from visionthink.core.geometry import Size
from visionthink.core.message import Message
from visionthink.core.protocol import get_protocol
from visionthink.core.reply import render_call
from visionthink.core.tool import ResizeImage, ToolBox
from visionthink.engines import Engine, HasStreaming, Request, Sampling, ScriptedEngine
from visionthink.engines.chat_client import ChatClient
from visionthink.engines.local_pool import LocalPool
from visionthink.engines.openai_chat import OpenAIChatEngine
from visionthink.engines.reply_cache import CachedEngine
from visionthink.engines.scripted import ScriptLine
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.driver import run_episode
from visionthink.serving.server import background_server

PICTURE = noise(112, 112)
OTHER = noise(140, 84, seed=1)
UNANSWERABLE = "<|im_start|>"  # a control token, which no tokenizer may see; the scripted engine plays along
TURN_ONE = (user(view(56, 56), "what color is the shape ?"),)
TURN_TWO = (*TURN_ONE, reply("let me look closer .", (300, 301)), user(view(112, 112), "here is the larger image ."))


@dataclass
class Case:
    """An engine and how it is made."""

    engine: Engine
    model: str


def script(request: Request) -> ScriptLine:
    """A line that follows from the request and its seed, as a model's does."""
    if UNANSWERABLE in request.messages[-1].text:
        return BackendFailed(error=f"no words for {UNANSWERABLE}", retryable=False)
    sampling = request.sampling
    number = 0 if sampling.is_greedy else sampling.seed
    return " ".join([f"word{number}"] * 100)


def local() -> Engine:
    return TransformersEngine(tiny_model(), tiny_processor(), batch_size=4, name="tiny")


def in_processes() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        yield Case(LocalPool(saved_model(Path(folder) / "tiny"), num_processes=2, batch_size=4), "tiny")


def served(behind: Callable[[], Engine]) -> Iterator[Case]:
    engine = behind()
    with background_server(chat_server(engine), ready_path=None) as url:
        yield Case(OpenAIChatEngine(ChatClient(f"{url}/v1", model=engine.model, max_connections=4)), engine.model)


def cached(behind: Engine) -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        yield Case(CachedEngine(behind, Path(folder), identity={}), behind.model)


def cases() -> dict[str, Callable[[], Iterator[Case]]]:
    return {
        "scripted": lambda: iter([Case(ScriptedEngine(script), "scripted")]),
        "transformers": lambda: iter([Case(local(), "tiny")]),
        "processes": in_processes,
        "cached scripted": lambda: cached(ScriptedEngine(script)),
        "cached transformers": lambda: cached(local()),
        "chat over scripted": lambda: served(lambda: ScriptedEngine(script)),
        "chat over transformers": lambda: served(local),
    }


@pytest.fixture(params=cases())
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    yield from cases()[request.param]()


def asked(messages: tuple[Message, ...] = TURN_ONE, **sampling: float) -> Request:
    wanted = replace(Sampling(max_tokens=6, seed=1), **sampling)  # type: ignore[arg-type]
    return Request(messages=messages, picture=PICTURE, sampling=wanted)


async def replies(case: Case, *requests: Request) -> list[ModelReply]:
    events = await asyncio.gather(*map(case.engine.reply, requests))
    await case.engine.aclose()
    failures = [event.error for event in events if not isinstance(event, ModelReply)]
    assert not failures
    return [event for event in events if isinstance(event, ModelReply)]


async def test_every_request_gets_its_own_reply(case: Case) -> None:
    questions = [(user(view(56, 56), " ".join(["nine"] * length)),) for length in (9, 3, 12, 1, 6, 2)]
    got = await replies(case, *map(asked, questions))
    longest_first = sorted(range(6), key=lambda index: -got[index].num_prompt_tokens)
    assert longest_first == [2, 0, 4, 1, 5, 3]


async def test_a_view_costs_its_visual_tokens(case: Case) -> None:
    small, large = await replies(case, asked((user(view(56, 56), "?"),)), asked((user(view(112, 84), "?"),)))
    assert large.num_prompt_tokens - small.num_prompt_tokens == 12 - 4


async def test_a_second_turn_shows_both_views(case: Case) -> None:
    one, two = await replies(case, asked(TURN_ONE), asked(TURN_TWO))
    assert two.num_prompt_tokens - one.num_prompt_tokens > 16


async def test_each_view_is_cut_from_its_own_picture(case: Case) -> None:
    large = replace(view(112, 84), picture=1)
    both = (user(view(56, 56), " and ", large, " same ?"),)
    swapped = (user(replace(view(56, 56), picture=1), " and ", view(112, 84), " same ?"),)
    one, other = replace(asked(both), further_pictures=(OTHER,)), replace(asked(swapped), picture=OTHER)
    first, again, alone = await replies(case, one, replace(other, further_pictures=(PICTURE,)), asked(TURN_ONE))
    assert (first.text, first.num_prompt_tokens) == (again.text, again.num_prompt_tokens)
    assert first.num_prompt_tokens - alone.num_prompt_tokens > 8


async def test_an_episode_about_several_pictures_is_the_same_in_the_process_and_over_http() -> None:
    spec = EpisodeSpec(
        question="what <image> like <image> ?",
        original=Size(width=112, height=112),
        further_originals=(Size(width=140, height=84),),
        protocol=get_protocol("efficient-v1"),
        toolbox=ToolBox([ResizeImage()]),
        rule=RULE,
    )
    held = []
    for name in ("transformers", "chat over transformers"):
        for case in cases()[name]():
            engine = _CallsFirst(case.engine)
            finish = await run_episode(
                engine, spec, PICTURE, Sampling(temperature=0.0, max_tokens=6), further_pictures=(OTHER,)
            )
            await case.engine.aclose()
            assert finish.outcome is not Outcome.FAILED
            held.append(finish.trace)
    local, remote = held
    assert local.views == remote.views and [view.picture for view in local.views] == [0, 1, 0, 1]
    assert local.replies == remote.replies
    assert [turn.reply.num_prompt_tokens for turn in local.turns[1:]] == [
        turn.reply.num_prompt_tokens for turn in remote.turns[1:]
    ]


class _CallsFirst:
    """An engine whose model looks closer before it says anything."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def model(self) -> str:
        return self._engine.model

    async def reply(self, request: Request) -> Event:
        if len(request.messages) > 2:
            return await self._engine.reply(request)
        return ModelReply(text=render_call("resize_image", {"action": "resize"}), finish_reason=FinishReason.STOP)

    async def aclose(self) -> None:
        await self._engine.aclose()


async def test_a_reply_stops_at_max_tokens(case: Case) -> None:
    got = await replies(case, *(asked(temperature=0.0, max_tokens=limit) for limit in (1, 2, 5)))
    assert [event.num_reply_tokens for event in got] == [1, 2, 5]
    assert {event.finish_reason for event in got} == {FinishReason.LENGTH}
    assert all(long.text.startswith(short.text) for short, long in pairwise(got))


async def test_a_seed_fixes_the_reply(case: Case) -> None:
    first, again, other = await replies(case, asked(seed=1), asked(seed=1), asked(seed=2))
    assert first.text == again.text != other.text


async def test_temperature_zero_needs_no_seed(case: Case) -> None:
    first, again = await replies(case, asked(temperature=0.0, seed=1), asked(temperature=0.0, seed=2))
    assert first.text == again.text


async def test_a_reply_took_time_and_tokens(case: Case) -> None:
    (event,) = await replies(case, asked())
    assert event.latency_s >= 0 and event.num_prompt_tokens > 4 and event.num_reply_tokens > 0


async def test_a_request_that_fails_fails_alone(case: Case) -> None:
    bad = asked((user(view(56, 56), UNANSWERABLE),))
    events = await asyncio.gather(*map(case.engine.reply, (asked(), bad, asked())))
    await case.engine.aclose()
    assert [type(event) for event in events] == [ModelReply, BackendFailed, ModelReply]
    assert isinstance(events[1], BackendFailed) and UNANSWERABLE in events[1].error and not events[1].retryable


async def test_a_conversation_beyond_the_context_has_no_room() -> None:
    for name in ("transformers", "chat over transformers"):
        for case in cases()[name]():
            long = asked((user(view(56, 56), "nine " * 2000),))
            near, far = await asyncio.gather(case.engine.reply(asked()), case.engine.reply(long))
            await case.engine.aclose()
            assert isinstance(near, ModelReply)
            assert isinstance(far, NoRoom) and "do not fit" in far.error


async def test_a_temperature_next_to_zero_is_greedy(case: Case) -> None:
    """Scores divided by 1e-40 are infinite, and among infinities the first token wins."""
    greedy, tiny, small = await replies(case, *(asked(temperature=t) for t in (0.0, 1e-40, 5e-5)))
    assert greedy.text == tiny.text == small.text


async def test_an_engine_names_its_model_and_closes_twice(case: Case) -> None:
    assert case.engine.model == case.model
    await case.engine.aclose()
    await case.engine.aclose()


async def test_a_stream_says_what_a_reply_says(case: Case) -> None:
    if not isinstance(case.engine, HasStreaming):
        pytest.skip("it gives whole replies only")
    for request in (asked(temperature=0.0), asked(TURN_TWO, seed=5), asked(max_tokens=1)):
        want = await case.engine.reply(request)
        *pieces, event = [piece async for piece in case.engine.stream(request)]
        assert isinstance(event, ModelReply) and isinstance(want, ModelReply)
        assert "".join(map(str, pieces)) == event.text == want.text
        assert replace(event, latency_s=0.0) == replace(want, latency_s=0.0)
    await case.engine.aclose()


async def test_a_stream_that_fails_ends_with_its_event(case: Case) -> None:
    if not isinstance(case.engine, HasStreaming):
        pytest.skip("it gives whole replies only")
    (event,) = [piece async for piece in case.engine.stream(asked((user(view(56, 56), UNANSWERABLE),)))]
    await case.engine.aclose()
    assert isinstance(event, BackendFailed) and UNANSWERABLE in event.error and not event.retryable


async def test_episodes_run_over_the_engine(case: Case) -> None:
    spec = EpisodeSpec(
        question="what color is the shape ?",
        original=Size(width=112, height=112),
        protocol=get_protocol("compact-efficient-v1"),
        toolbox=ToolBox([ResizeImage()]),
        rule=RULE,
    )
    sampling = Sampling(max_tokens=6, seed=1)
    finishes = await asyncio.gather(*(run_episode(case.engine, spec, PICTURE, sampling, place=(n,)) for n in range(3)))
    await case.engine.aclose()
    assert all(finish.outcome is not Outcome.FAILED for finish in finishes)
    assert len({finish.trace.replies for finish in finishes}) == 3
