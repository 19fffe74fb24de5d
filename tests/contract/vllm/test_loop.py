"""OpenAI's client before our app before a real vLLM: right answers, the evaluation's decisions, a shared prefix."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import openai
import pytest
from tests.contract.vllm.conftest import MODEL_NAME, Server, counted
from tests.contract.vllm.test_endpoints import answers

from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.datasets.world import TRAINED_FAMILIES, generate
from visionthink.engines.chat_client import ChatClient
from visionthink.engines.openai_chat import OpenAIChatEngine
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.prompting import prompting_of
from visionthink.evaluation.answer import Answer
from visionthink.model.card import with_card
from visionthink.serving import ServingLimits, background_server, create_app

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

NUM_HELD_OUT: Final = 200
MAX_NEAR_TIES: Final = 2
"""Another order of summation may turn a tie between two letters, or between asking and answering."""
NUM_AT_ONCE: Final = 16
BLOCK: Final = 32  # tokens; the server's --block-size
SAMPLES: Final = tuple(generate("test", NUM_HELD_OUT, seed=60, families=TRAINED_FAMILIES))


class Endpoint(NamedTuple):
    """Our app, and the server behind it."""

    url: str
    behind: Server


@pytest.fixture(scope="module")
def endpoint(server: Server) -> Iterator[Endpoint]:
    config = with_card(server.folder, RunConfig())
    prompting = prompting_of(config)
    app = create_app(
        OpenAIChatEngine(ChatClient(server.url, model=MODEL_NAME, max_connections=NUM_AT_ONCE)),
        model_name="loop",
        protocol=prompting.protocol,
        direct_protocol=prompting.direct_protocol,
        rule=prompting.rule,
        toolbox=prompting.toolbox,
        max_turns=prompting.max_turns,
        limits=ServingLimits(max_tokens=40),
    )
    with background_server(app) as url:
        yield Endpoint(f"{url}/v1", server)


@pytest.fixture(scope="module")
def evaluated(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    """What the evaluation keeps of the held-out questions, of the engine in this process."""
    engine = TransformersEngine.load(server.folder, batch_size=64)
    return answers(engine, tmp_path_factory.mktemp("evaluated"), samples=SAMPLES)


@pytest.fixture
async def client(endpoint: Endpoint) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=endpoint.url, api_key="none", timeout=120, max_retries=0) as opened:
        yield opened


def request(sample: Sample, **options: object) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(sample.picture).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": sample.question}]
    return {"model": "loop", "messages": [{"role": "user", "content": content}], **options}


async def told(client: openai.AsyncOpenAI, sample: Sample) -> dict[str, Any]:
    """The vendor field of a whole response."""
    reply = await client.chat.completions.create(**request(sample, temperature=0))
    found = (reply.model_extra or {})["adaptive"]
    assert isinstance(found, dict)
    return found


async def all_told(client: openai.AsyncOpenAI) -> list[dict[str, Any]]:
    slots = asyncio.Semaphore(NUM_AT_ONCE)

    async def one(sample: Sample) -> dict[str, Any]:
        async with slots:
            return await told(client, sample)

    return await asyncio.gather(*map(one, SAMPLES))


async def test_decisions_and_answers_are_those_of_the_evaluation(
    client: openai.AsyncOpenAI, evaluated: list[Answer]
) -> None:
    served = await all_told(client)
    unlike = [
        (want.id, got["answer"], want.got, got["visual_tokens"], want.visual_tokens)
        for got, want in zip(served, evaluated, strict=True)
        if (got["answer"], got["resized"], got["visual_tokens"]) != (want.got, want.asked, want.visual_tokens)
    ]
    assert len(unlike) <= MAX_NEAR_TIES, unlike
    assert any(got["resized"] for got in served) and not all(got["resized"] for got in served)


async def test_right_answers_come_whole_and_as_they_are_written(
    client: openai.AsyncOpenAI, evaluated: list[Answer]
) -> None:
    for asked in (False, True):
        place = next(i for i, one in enumerate(evaluated) if one.score == 1 and one.asked is asked)
        sample = SAMPLES[place]
        whole = await client.chat.completions.create(**request(sample, temperature=0))
        usage = {"include_usage": True}
        stream = await client.chat.completions.create(
            **request(sample, temperature=0, stream=True, stream_options=usage)
        )
        chunks = [chunk async for chunk in stream]
        texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
        assert "".join(texts) == whole.choices[0].message.content and len(texts) > 2
        assert f"<answer>{evaluated[place].got}</answer>" in "".join(texts)
        assert chunks[-1].usage == whole.usage and whole.usage is not None and whole.usage.completion_tokens > 0


async def test_a_second_turn_computes_nothing_of_the_first_again(
    endpoint: Endpoint, client: openai.AsyncOpenAI, evaluated: list[Answer]
) -> None:
    """A picture that the server has not seen: whatever it finds in its cache comes from this episode's first turn."""
    asked = {one.id for one in evaluated if one.asked}
    kinds = {sample.family for sample in SAMPLES if sample.id in asked}
    got, num_hits = dict[str, Any](), 0
    for sample in generate("test", 40, seed=61, families=tuple(sorted(kinds))):
        num_before = counted(endpoint.behind.url, "vllm:prefix_cache_hits_total")
        got = await told(client, sample)
        num_hits = counted(endpoint.behind.url, "vllm:prefix_cache_hits_total") - num_before
        if got["resized"]:
            break
    first, second = got["trace"][:2]
    assert first["reply"].endswith("</tool_call>")
    num_shared = first["num_prompt_tokens"] + first["num_reply_tokens"]
    # The cache holds whole blocks; the last token of a reply was drawn, and nothing computed from it.
    assert num_hits >= (num_shared - 1) // BLOCK * BLOCK > 0, (num_hits, num_shared)
    assert second["num_prompt_tokens"] > num_shared


async def test_the_server_knows_what_is_passed_on(client: openai.AsyncOpenAI) -> None:
    """Each field alone, since a refusal names one."""
    sample = SAMPLES[0]
    for options in (
        {"extra_body": {"top_k": 3}},
        {"extra_body": {"min_p": 0.1}},
        {"extra_body": {"repetition_penalty": 1.1}},
        {"presence_penalty": 0.1, "frequency_penalty": 0.1},
        {"stop": ["</answer>"]},
    ):
        reply = await client.chat.completions.create(**request(sample, seed=1, **options))
        assert reply.choices[0].message.content, options
    several = await client.chat.completions.create(**request(sample, n=2, logprobs=True, top_logprobs=2))
    assert len(several.choices) == 2
    for choice in several.choices:
        assert choice.logprobs is not None and choice.logprobs.content
        text = "".join(token.token for token in choice.logprobs.content).removesuffix("<|im_end|>")
        assert text == choice.message.content and len(choice.logprobs.content[0].top_logprobs) == 2


async def test_the_final_answer_has_its_form(client: openai.AsyncOpenAI) -> None:
    sample = SAMPLES[0]
    chosen = await client.chat.completions.create(
        **request(sample, extra_body={"structured_outputs": {"choice": ["red", "blue"]}})
    )
    assert chosen.choices[0].message.content in ("red", "blue")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**request(sample, extra_body={"guided_regex": "("}))
    assert caught.value.status_code == 400
    assert json.loads(caught.value.response.text)["error"]["type"] == "invalid_request_error"
