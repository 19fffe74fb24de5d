"""The local engine says what the model would say, and leaves the model as it found it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import torch
from tests.unit.engines.conversation import noise, reply, user, view
from tests.unit.engines.tiny_model import tiny_model, tiny_processor
from transformers import GenerationConfig

from visionthink.core.episode import BackendFailed, FinishReason, ModelReply, NoRoom
from visionthink.core.message import Message
from visionthink.engines.batch import collate
from visionthink.engines.encoding import Encoder
from visionthink.engines.engine import Request, Sampling
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.errors import ConfigError, EngineError

PICTURE = noise(224, 224)
CONVERSATIONS: list[tuple[Message, ...]] = [
    (user(view(56, 56), "what color is it ?"),),
    (user(view(28, 84), "?"), reply("the shape", None), user(view(112, 56), "here is the larger image .")),
    (user("look: ", view(84, 28), " what is printed on the tag ?"),),
    (user("what is nine ?"),),
]


def request(messages: tuple[Message, ...], **sampling: float | int | None) -> Request:
    wanted = Sampling(max_tokens=12, seed=5)
    return Request(messages=messages, picture=PICTURE, sampling=replace(wanted, **sampling))  # type: ignore[arg-type]


def engine(**options: int) -> TransformersEngine:
    return TransformersEngine(tiny_model(), tiny_processor(), **options)  # type: ignore[arg-type]


async def replies(source: TransformersEngine, requests: list[Request]) -> list[ModelReply]:
    events = await asyncio.gather(*map(source.reply, requests))
    assert all(isinstance(event, ModelReply) for event in events), events
    return [event for event in events if isinstance(event, ModelReply)]


async def test_greedy_tokens_are_the_likeliest_of_a_forward_pass_over_the_whole() -> None:
    source, model, encoder = engine(), tiny_model(), Encoder(tiny_processor())
    got = await replies(source, [request(messages, temperature=0.0) for messages in CONVERSATIONS])
    for messages, event in zip(CONVERSATIONS, got, strict=True):
        assert event.token_ids
        row = encoder.encode((*messages, reply(event.text, event.token_ids)), PICTURE)
        with torch.no_grad():
            logits = model(**collate([row], encoder, padding="right").model_inputs()).logits[0]
        logits[:, list(source.forbidden_ids)] = -torch.inf
        num_prompt = encoder.encode(messages, PICTURE, add_generation_prompt=True).num_tokens
        want = logits[num_prompt - 1 : num_prompt - 1 + len(event.token_ids)].argmax(-1)
        assert event.token_ids == tuple(want.tolist())
        assert event.num_prompt_tokens == num_prompt


async def test_a_reply_does_not_depend_on_its_batch() -> None:
    requests = [request(messages, seed=seed) for seed in range(3) for messages in CONVERSATIONS]
    want = [event.token_ids for event in await replies(engine(batch_size=64), requests)]
    assert [event.token_ids for event in await replies(engine(batch_size=1), requests)] == want
    backwards = await replies(engine(batch_size=3), requests[::-1])
    assert [event.token_ids for event in backwards[::-1]] == want


async def test_another_seed_is_another_reply_and_none_is_always_another() -> None:
    source = engine()
    same = await replies(source, [request(CONVERSATIONS[0], seed=seed) for seed in (1, 1, 2)])
    assert same[0].token_ids == same[1].token_ids != same[2].token_ids
    free = await replies(source, [request(CONVERSATIONS[0], seed=None) for _ in range(4)])
    assert len({event.token_ids for event in free}) == 4


async def test_a_reply_holds_no_control_token_at_any_temperature() -> None:
    source = engine()
    got = await replies(source, [request(CONVERSATIONS[0], seed=n, temperature=50.0) for n in range(64)])
    written = {token for event in got for token in event.token_ids or ()}
    assert len(written) > 200
    assert written.isdisjoint(source.encoder.control_ids)
    assert max(written) < len(tiny_processor().tokenizer)


async def test_a_reply_ends_at_the_end_of_turn_or_at_its_own_limit() -> None:
    source = engine()
    got = await replies(source, [request(CONVERSATIONS[0], seed=n, max_tokens=4 + n % 3) for n in range(300)])
    reasons = {event.finish_reason for event in got}
    assert reasons == {FinishReason.STOP, FinishReason.LENGTH}
    for number, event in enumerate(got):
        num_written = len(event.token_ids or ())
        is_cut = event.finish_reason is FinishReason.LENGTH
        assert num_written == 4 + number % 3 if is_cut else num_written < 4 + number % 3
        assert event.num_reply_tokens == num_written + (not is_cut)
        assert event.text == tiny_processor().tokenizer.decode(event.token_ids)


async def test_a_request_that_cannot_be_encoded_fails_alone() -> None:
    good, bad = request(CONVERSATIONS[0]), request((user(view(56, 56), "<|im_start|>"),))
    source = engine()
    first, failed, last = await asyncio.gather(*map(source.reply, (good, bad, good)))
    assert isinstance(failed, BackendFailed) and "<|im_start|>" in failed.error
    assert isinstance(first, ModelReply) and isinstance(last, ModelReply)


async def test_a_conversation_longer_than_the_context_has_no_room_and_says_the_numbers() -> None:
    event = await engine().reply(request(CONVERSATIONS[0], max_tokens=4096))
    assert isinstance(event, NoRoom) and "4096" in event.error


async def test_generating_leaves_model_and_random_numbers_as_they_were() -> None:
    model = tiny_model().train()
    shipped = GenerationConfig(repetition_penalty=9.0, temperature=0.1)  # type: ignore[no-untyped-call]
    model.generation_config = shipped
    source = TransformersEngine(model, tiny_processor())
    before = torch.get_rng_state()
    got = await replies(source, [request(CONVERSATIONS[0])])
    assert model.training and model.generation_config is shipped
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert [event.token_ids for event in got] == [
        event.token_ids for event in await replies(engine(), [request(CONVERSATIONS[0])])
    ], "a repetition penalty that the checkpoint ships changes no reply"


async def test_the_engine_follows_the_weights_of_a_model_in_training() -> None:
    model = tiny_model()
    source = TransformersEngine(model, tiny_processor())
    before = await replies(source, [request(CONVERSATIONS[0], temperature=0.0)])
    model.load_state_dict(tiny_model(seed=1).state_dict())
    after = await replies(source, [request(CONVERSATIONS[0], temperature=0.0)])
    assert before[0].token_ids != after[0].token_ids


async def test_cancelled_requests_stop_the_model() -> None:
    model, begun, num_tokens = tiny_model(), Event(), 0

    def count(*_: object) -> None:
        nonlocal num_tokens
        num_tokens += 1
        begun.set()

    model.register_forward_hook(count)
    source = TransformersEngine(model, tiny_processor())
    endless = request(CONVERSATIONS[0], max_tokens=3900, temperature=0.0)
    tasks = [asyncio.create_task(source.reply(endless)) for _ in range(2)]
    assert await asyncio.to_thread(begun.wait, 30)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
    assert isinstance(await source.reply(request(CONVERSATIONS[0])), ModelReply)
    assert num_tokens < 1000


async def test_load_gives_the_engine_of_a_saved_model(tmp_path: Path) -> None:
    folder = tmp_path / "model-7"
    tiny_model().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    source = TransformersEngine.load(folder)
    assert source.model == "model-7"
    requests = [request(messages) for messages in CONVERSATIONS]
    assert [event.text for event in await replies(source, requests)] == [
        event.text for event in await replies(engine(), requests)
    ]


def test_load_says_which_folder_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path)):
        TransformersEngine.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        TransformersEngine.load(tmp_path)


async def test_a_closed_engine_says_so() -> None:
    source = engine()
    await source.aclose()
    with pytest.raises(EngineError, match="closed"):
        await source.reply(request(CONVERSATIONS[0]))
