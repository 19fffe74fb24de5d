"""The whole of serving on one machine: OpenAI's client, the loop, and a real Qwen2.5-VL with random weights."""

import asyncio

import openai
import pytest
from tests.contract.serving.served import adaptive, ask, chunks, data_url, question, serving
from tests.unit.engines.conversation import noise
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.engines.transformers_local import TransformersEngine
from visionthink.serving import ServingLimits


async def test_requests_at_the_same_time_are_answered_as_if_alone() -> None:
    engine = TransformersEngine(tiny_model(), tiny_processor())
    questions = [question(data_url(noise(112, 56, seed)), f"what is {word} ?") for seed, word in enumerate("abcdef")]
    with serving(engine, ServingLimits(max_tokens=12)) as served:
        alone = [await ask(served, messages=[one], seed=7, temperature=1.0) for one in questions]
        together = await asyncio.gather(*(ask(served, messages=[one], seed=7, temperature=1.0) for one in questions))
        streamed = await chunks(served, messages=[questions[0]], seed=7, temperature=1.0)
    texts = [got.choices[0].message.content for got in alone]
    assert [got.choices[0].message.content for got in together] == texts
    assert len(set(texts)) > 1
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == texts[0]
    for got in alone:
        assert got.usage is not None and 0 < got.usage.completion_tokens <= 12 * 3
        assert got.usage.prompt_tokens > int(str(adaptive(got)["visual_tokens"]))


async def test_a_question_too_long_for_the_model_is_a_400_and_asked_once() -> None:
    engine = TransformersEngine(tiny_model(), tiny_processor())
    long = question(text="what is word ? " * 20_000)
    with serving(engine, ServingLimits(max_tokens=12)) as served:
        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", timeout=60)
        with client, pytest.raises(openai.BadRequestError, match="do not fit") as caught:
            client.chat.completions.create(model="tiny-v1", messages=[long])
        assert served.count("visionthink_serve_requests_total", outcome="rejected") == 1
    assert caught.value.code == "context_length_exceeded"
