"""A real vLLM loads the checkpoint as it is, and says what our own engine says."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import pytest
from PIL import Image
from tests.contract.vllm.conftest import MODEL_NAME, Server

from visionthink.config import RunConfig
from visionthink.core.episode import AskModel, EpisodeSpec, FinishReason, ModelReply, Outcome, advance, start
from visionthink.core.geometry import Size
from visionthink.core.message import Message
from visionthink.datasets.world import FAMILIES, generate
from visionthink.engines import Engine, Request, Sampling
from visionthink.engines.chat_client import ChatClient
from visionthink.engines.openai_chat import OpenAIChatEngine
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.driver import run_episode
from visionthink.episodes.prompting import prompting_of
from visionthink.model.speech import CALL
from visionthink.picture import decode

# The first test waits for the server; see conftest.
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

NUM_PROMPTS = 40
GREEDY = Sampling(temperature=0.0, max_tokens=40)


class Asked(NamedTuple):
    """A picture and what is asked about it."""

    spec: EpisodeSpec
    picture: Image.Image


@pytest.fixture
async def served(server: Server) -> AsyncIterator[OpenAIChatEngine]:
    engine = OpenAIChatEngine(ChatClient(server.url, model=MODEL_NAME, max_connections=16))
    yield engine
    await engine.aclose()


@pytest.fixture
async def local(server: Server) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine.load(server.folder, batch_size=NUM_PROMPTS)
    yield engine
    await engine.aclose()


def asked() -> list[Asked]:
    prompting = prompting_of(RunConfig())
    pictures = [
        (sample.question, decode(sample.picture))
        for sample in generate("test", NUM_PROMPTS, seed=40, families=tuple(FAMILIES))
    ]
    return [
        Asked(prompting.spec(question, Size(width=picture.width, height=picture.height)), picture)
        for question, picture in pictures
    ]


def after_a_call(spec: EpisodeSpec) -> tuple[Message, ...]:
    """The conversation once the model has asked for the full view and got it."""
    text = f"<think>i need more pixels .</think>{CALL}"
    step = advance(start(spec).state, ModelReply(text=text, finish_reason=FinishReason.STOP))
    assert isinstance(step.command, AskModel)
    return step.command.messages


async def replies(engine: Engine, requests: Sequence[Request]) -> list[ModelReply]:
    events = await asyncio.gather(*map(engine.reply, requests))
    found = [event for event in events if isinstance(event, ModelReply)]
    assert len(found) == len(requests), [event for event in events if not isinstance(event, ModelReply)][:1]
    return found


async def test_the_server_lists_the_model(served: OpenAIChatEngine) -> None:
    assert await served.is_ready()


async def test_greedy_replies_to_two_views_are_those_of_the_local_engine(
    served: OpenAIChatEngine, local: TransformersEngine
) -> None:
    requests = [Request(messages=after_a_call(item.spec), picture=item.picture, sampling=GREEDY) for item in asked()]
    theirs, ours = await replies(served, requests), await replies(local, requests)
    # Equal counts mean that template, tokenizer and both views came through unchanged.
    assert [reply.num_prompt_tokens for reply in theirs] == [reply.num_prompt_tokens for reply in ours]
    num_equal = sum(
        (one.text, one.finish_reason) == (other.text, other.finish_reason)
        for one, other in zip(theirs, ours, strict=True)
    )
    assert num_equal >= 0.95 * NUM_PROMPTS


async def test_replies_about_two_pictures_are_those_of_the_local_engine(
    served: OpenAIChatEngine, local: TransformersEngine
) -> None:
    found = asked()
    requests = [
        Request(
            messages=after_a_call(replace(one.spec, further_originals=(other.spec.original,))),
            picture=one.picture,
            further_pictures=(other.picture,),
            sampling=GREEDY,
        )
        for one, other in pairwise(found)
    ]
    assert all(len(request.messages[0].views) == 2 for request in requests)
    theirs, ours = await replies(served, requests), await replies(local, requests)
    assert [reply.num_prompt_tokens for reply in theirs] == [reply.num_prompt_tokens for reply in ours]
    # No model was trained with several, so ties are near more often.
    num_equal = sum(one.text == other.text for one, other in zip(theirs, ours, strict=True))
    assert num_equal >= 0.8 * len(requests)


async def test_episodes_end_as_they_do_over_the_local_engine(
    served: OpenAIChatEngine, local: TransformersEngine
) -> None:
    theirs, ours = [
        await asyncio.gather(*(run_episode(engine, item.spec, item.picture, GREEDY) for item in asked()))
        for engine in (served, local)
    ]
    assert {finish.outcome for finish in theirs} == {Outcome.ANSWERED}
    num_equal = sum(
        (one.answer, one.trace.views) == (other.answer, other.trace.views)
        for one, other in zip(theirs, ours, strict=True)
    )
    assert num_equal >= 0.95 * NUM_PROMPTS


async def test_a_seed_fixes_a_drawn_reply(served: OpenAIChatEngine) -> None:
    item = asked()[0]
    requests = [
        Request(messages=after_a_call(item.spec), picture=item.picture, sampling=Sampling(max_tokens=40, seed=seed))
        for seed in (1, 1, 2, 3, 4, 5, 6)
    ]
    first, again, *others = [reply.text for reply in await replies(served, requests)]
    assert first == again
    assert any(text != first for text in others)
