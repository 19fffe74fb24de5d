"""What a request says about its answers reaches the engine where it may, and never a wish to look closer."""

from dataclasses import replace

import openai
import pytest
from tests.contract.serving.served import ANSWER, CALL, adaptive, ask, chunks, serving, twice
from tests.fakes.streaming import StreamingEngine

from visionthink.core.episode import BackendFailed, FinishReason, ModelReply
from visionthink.core.trace import DrawnToken
from visionthink.engines import AnswerForm, Request, ScriptedEngine, ScriptLine
from visionthink.engines.engine import SAMPLING_FIELDS, SamplingField
from visionthink.serving import ServingLimits

LIMITS = ServingLimits(max_tokens=64, first_byte_s=0.05)
SCHEMA = {"type": "object", "properties": {"code": {"type": "string"}}}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "code", "schema": SCHEMA}}
IN_FORM = '{"code": "A7"}'


class Knowing(StreamingEngine):
    """Knows every field; an answer of which the form was said has it."""

    @property
    def sampling_fields(self) -> frozenset[SamplingField]:
        return frozenset(SAMPLING_FIELDS)


def formed(request: Request) -> ScriptLine:
    return twice(request) if request.sampling.form is None else IN_FORM


def counted(text: str) -> ModelReply:
    drawn = tuple(DrawnToken(text=one, log_prob=-0.5, raw=one.encode()) for one in text)
    drawn = tuple(replace(one, likeliest=(one, replace(one, text="?", log_prob=-2.0))) for one in drawn)
    stop = FinishReason.STOP
    return ModelReply(text=text, finish_reason=stop, num_prompt_tokens=10, num_reply_tokens=len(text), drawn=drawn)


async def test_numbers_reach_the_engine_in_every_turn() -> None:
    engine = Knowing(twice)
    with serving(engine) as served:
        await ask(
            served,
            presence_penalty=0.5,
            frequency_penalty=-0.5,
            extra_body={"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.2},
        )
    got = [request.sampling for request in engine.requests]
    assert len(got) == 2
    for one in got:
        assert (one.top_k, one.min_p, one.repetition_penalty) == (5, 0.1, 1.2)
        assert (one.presence_penalty, one.frequency_penalty) == (0.5, -0.5)


async def test_a_look_ends_with_its_call_and_nothing_else() -> None:
    engine = Knowing(twice)
    with serving(engine) as served:
        await ask(served, stop="\n")
    assert [request.sampling.until for request in engine.requests] == [("</tool_call>",), ()]
    assert [request.sampling.stop for request in engine.requests] == [(), ("\n",)]


@pytest.mark.parametrize("kind", [ScriptedEngine, StreamingEngine, Knowing])
@pytest.mark.parametrize(
    ("script", "stop", "want"),
    [
        ([ANSWER], ["</answer>"], "<think>I see.</think><answer>A7"),
        ([ANSWER], ["nowhere"], ANSWER),
        ([CALL, ANSWER], ["</answer>", "A7"], "<think>I see.</think><answer>"),
        ([CALL, ANSWER], "small", ANSWER),  # that stands in the call's thoughts alone
        ([CALL, "words and words"], [" and"], "words"),
    ],
)
async def test_an_answer_ends_before_a_stop(
    kind: type[ScriptedEngine], script: list[ScriptLine], stop: object, want: str
) -> None:
    with serving(kind(script), LIMITS) as served:
        whole = await ask(served, stop=stop)
    with serving(kind(script), LIMITS) as served:
        got = await chunks(served, stop=stop)
    assert whole.choices[0].message.content == want
    assert "".join(chunk.choices[0].delta.content or "" for chunk in got) == want
    assert whole.choices[0].finish_reason == got[-1].choices[0].finish_reason == "stop"


async def test_several_answers_have_episodes_of_their_own() -> None:
    engine = ScriptedEngine(lambda request: replace(counted(f"{twice(request)}"), drawn=None))
    with serving(engine) as served:
        got = await ask(served, n=3, seed=4, temperature=1.0)
        one = await ask(served, seed=4, temperature=1.0)
        assert served.count("visionthink_serve_num_in_flight") == 0
    assert [choice.index for choice in got.choices] == [0, 1, 2]
    assert {choice.message.content for choice in got.choices} == {ANSWER}
    assert got.usage is not None and one.usage is not None
    assert got.usage.total_tokens == 3 * one.usage.total_tokens
    assert [(choice.model_extra or {})["adaptive"]["turns"] for choice in got.choices] == [2, 2, 2]
    assert "adaptive" not in (got.model_extra or {}) and adaptive(one)["turns"] == 2
    seeds = [request.sampling.seed for request in engine.requests]
    assert len(set(seeds[:6])) == 6, "each turn of each draws for itself"
    assert set(seeds[6:]) < set(seeds[:6]), "the first is the one that is given alone"


async def test_several_answers_flow_by_their_index() -> None:
    with serving(StreamingEngine(twice), LIMITS) as served:
        got = await chunks(served, n=2, stream_options={"include_usage": True})
        assert served.count("visionthink_serve_first_word_seconds_count") == 1, "of the request, not of each answer"
    texts = {0: "", 1: ""}
    for chunk in got:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: ANSWER, 1: ANSWER}
    ends = [chunk for chunk in got if chunk.choices and chunk.choices[0].finish_reason]
    assert sorted(chunk.choices[0].index for chunk in ends) == [0, 1]
    assert all(adaptive(chunk)["turns"] == 2 for chunk in ends)
    assert got[-1].usage is not None and not got[-1].choices


async def test_several_answers_fail_together() -> None:
    with serving(ScriptedEngine([CALL, CALL, ANSWER, BackendFailed(error="no power")])) as served:
        with pytest.raises(openai.InternalServerError, match="no power"):
            await ask(served, n=2)
        assert served.count("visionthink_serve_num_in_flight") == 0


async def test_log_probabilities_are_those_of_the_final_reply() -> None:
    engine = Knowing(lambda request: counted(f"{twice(request)}"))
    with serving(engine, LIMITS) as served:
        whole = await ask(served, logprobs=True, top_logprobs=2)
        got = await chunks(served, logprobs=True, top_logprobs=2)
        cut = await ask(served, logprobs=True, stop="</answer>")
        bare = await ask(served)
    assert {request.sampling.num_top_log_probs for request in engine.requests[:4]} == {2}
    told = whole.choices[0].logprobs
    assert told is not None and told.content is not None
    assert "".join(token.token for token in told.content) == ANSWER
    first = told.content[0]
    assert (first.token, first.logprob, first.bytes) == ("<", -0.5, [60])
    assert [(top.token, top.logprob) for top in first.top_logprobs] == [("<", -0.5), ("?", -2.0)]
    assert got[-1].choices[0].logprobs is not None and got[-1].choices[0].logprobs.content == told.content
    assert cut.choices[0].logprobs is not None
    assert "".join(token.token for token in cut.choices[0].logprobs.content or ()) == cut.choices[0].message.content
    assert bare.choices[0].logprobs is None


@pytest.mark.parametrize("script", [formed, lambda request: IN_FORM if request.sampling.form else ANSWER])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_final_answer_has_the_form_that_was_asked_for(script: object, stream: bool) -> None:
    engine = Knowing(script)  # type: ignore[arg-type]
    with serving(engine, LIMITS) as served:
        if stream:
            got = await chunks(served, response_format=JSON_SCHEMA)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in got)
        else:
            text = (await ask(served, response_format=JSON_SCHEMA)).choices[0].message.content or ""
    assert text == IN_FORM
    forms = [request.sampling.form for request in engine.requests]
    assert forms == [
        None,
        AnswerForm(kind="json", rule='{"type": "object", "properties": {"code": {"type": "string"}}}'),
    ]


async def test_a_form_costs_what_it_cost() -> None:
    engine = Knowing(lambda request: counted(IN_FORM if request.sampling.form else ANSWER))
    with serving(engine) as served:
        got = await ask(served, response_format={"type": "json_object"})
    assert got.usage is not None and got.usage.prompt_tokens == 20
    assert got.usage.completion_tokens == len(IN_FORM) + len(ANSWER) and adaptive(got)["answer"] == IN_FORM


async def test_what_the_engine_does_not_know_is_refused_by_name() -> None:
    class Few(ScriptedEngine):
        @property
        def sampling_fields(self) -> frozenset[SamplingField]:
            return frozenset({"top_k"})

    with serving(Few(twice)) as served:
        await ask(served, extra_body={"top_k": 3})
        for name, value in (("guided_regex", "a"), ("min_p", 0.5), ("logprobs", True)):
            with pytest.raises(openai.BadRequestError, match=f"{name} is not supported") as caught:
                await ask(served, extra_body={name: value})
            assert caught.value.param == name


async def test_what_a_server_refuses_is_the_clients_to_mend() -> None:
    refusal = BackendFailed(error="HTTP 400: top_k is unknown", retryable=False)
    with serving(Knowing(lambda request: refusal)) as served:
        with pytest.raises(openai.BadRequestError, match="HTTP 400: top_k is unknown") as caught:
            await ask(served, extra_body={"min_p": 0.5, "top_k": 3})
        assert caught.value.param == "top_k"
        with pytest.raises(openai.InternalServerError) as failed:
            await ask(served)
    assert failed.value.status_code == 502


@pytest.mark.parametrize("name", ["tools", "tool_choice"])
async def test_a_clients_own_tools_are_a_400_that_says_what_to_send(name: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    with serving(ScriptedEngine(twice)) as served, pytest.raises(openai.BadRequestError) as caught:
        await ask(served, **{name: [tool] if name == "tools" else "required"})
    assert caught.value.param == name and "adaptive.policy" in str(caught.value)
