"""The scripted engine plays its part, and says when the part is over."""

from tests.unit.engines.conversation import noise, user, view

from visionthink.core.episode import BackendFailed, FinishReason, ModelReply
from visionthink.engines import Request, Sampling, ScriptedEngine


def request(text: str = "what now ?", max_tokens: int = 64) -> Request:
    return Request(messages=(user(view(56, 56), text),), picture=noise(), sampling=Sampling(max_tokens=max_tokens))


async def test_lines_are_spoken_in_order_of_arrival() -> None:
    engine = ScriptedEngine(["one", ModelReply(text="two", finish_reason=FinishReason.LENGTH)])
    events = [await engine.reply(request()), await engine.reply(request())]
    assert [event.text for event in events if isinstance(event, ModelReply)] == ["one", "two"]
    assert len(engine.requests) == 2


async def test_an_exhausted_script_says_how_long_it_was() -> None:
    engine = ScriptedEngine(["one"])
    await engine.reply(request())
    told = "the script of 1 replies ran out at request 2; extend it"
    assert await engine.reply(request()) == BackendFailed(error=told, retryable=False)


async def test_an_engine_for_long_work_keeps_no_request() -> None:
    engine = ScriptedEngine(["one", "two"], keeps_requests=False)
    await engine.reply(request())
    assert engine.requests == []


async def test_a_function_sees_the_request() -> None:
    engine = ScriptedEngine(lambda asked: asked.messages[-1].text.upper())
    event = await engine.reply(request("hello"))
    assert isinstance(event, ModelReply) and event.text == "HELLO"
    assert event.num_prompt_tokens == 1 + 4 and event.num_reply_tokens == 2


async def test_a_line_longer_than_the_limit_is_cut() -> None:
    event = await ScriptedEngine(["a b c d"]).reply(request(max_tokens=4))
    assert isinstance(event, ModelReply)
    assert (event.text, event.finish_reason, event.num_reply_tokens) == ("a b c d", FinishReason.LENGTH, 4)
    event = await ScriptedEngine(["a b c"]).reply(request(max_tokens=4))
    assert isinstance(event, ModelReply) and event.finish_reason is FinishReason.STOP
