"""What every judge promises; the judge that asks a language model does so over real HTTP."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from fastapi import FastAPI, Response
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from tests.contract.engines.chat_server import chat_server

from visionthink.config import RunConfig, override_config
from visionthink.core.episode import BackendFailed
from visionthink.engines import Request, ScriptedEngine, ScriptLine
from visionthink.engines.chat_client import ChatClient, RetryRule
from visionthink.errors import ConfigError, JudgeError
from visionthink.judges import Grade, GradeItem, Inquiry, Judge, RuleFirstJudge, RuleJudge, open_judge
from visionthink.judges.openai_judge import OpenAIJudge
from visionthink.judges.rule import tell
from visionthink.judges.told import Told
from visionthink.serving.server import background_server
from visionthink.stage import judge_of

RIGHT = GradeItem(question="what color ?", answer="red", prediction="Red.")
WRONG = GradeItem(question="what color ?", answer="red", prediction="blue")
OPEN = GradeItem(question="why ?", answer="because the road is wet today", prediction="there was rain on the street")
SILENT = GradeItem(question="what color ?", answer="red", prediction=None)
INQUIRY = Inquiry(text="How near is 7 to 10?", read=lambda reply: float(reply) if reply[:1].isdigit() else None)


def fair(request: Request) -> ScriptLine:
    """A language model that compares as the rule does, and is asked about nearness in one bare message."""
    if "How near" in request.messages[-1].text:
        assert [message.text for message in request.messages] == [INQUIRY.text]
        return "<think>3 of 10, or 0.1?</think>0.7"
    shown = json.loads(request.messages[-1].text)
    item = GradeItem(question=shown["question"], answer=shown["true_answers"][0], prediction=shown["predicted_answer"])
    return f"<think>{item.answer}? 10 or 1.</think>\nScore: {int(tell(item) is Told.RIGHT)}"


@contextmanager
def asked(engine: ScriptedEngine, *, url: str | None = None) -> Iterator[OpenAIJudge]:
    with background_server(chat_server(engine), ready_path=None) as served:
        client = ChatClient(f"{url or served}/v1", model="scripted", retry=RetryRule(max_retries=0), max_connections=4)
        yield OpenAIJudge(client)


@dataclass
class Case:
    judge: Judge


@pytest.fixture(params=["rule", "language model", "rule first"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    if request.param == "rule":
        yield Case(RuleJudge())
    else:
        with asked(ScriptedEngine(fair)) as judge:
            yield Case(RuleFirstJudge(judge) if request.param == "rule first" else judge)


async def grades(judge: Judge, *items: GradeItem) -> list[Grade]:
    got = list(await asyncio.gather(*map(judge.grade, items)))
    await judge.aclose()
    return got


async def test_items_are_graded_side_by_side(case: Case) -> None:
    got = await grades(case.judge, RIGHT, WRONG, SILENT, RIGHT)
    assert got == [Grade(correct=1.0), Grade(correct=0.0), Grade(correct=0.0), Grade(correct=1.0)]


@pytest.mark.parametrize("prediction", [None, "", " \n"])
async def test_no_prediction_is_wrong_and_no_failure(case: Case, prediction: str | None) -> None:
    item = GradeItem(question="what color ?", answer="red", prediction=prediction)
    assert await grades(case.judge, item) == [Grade(correct=0.0)]


async def test_an_inquiry_is_asked_in_its_own_words_and_read_in_its_own_way(case: Case) -> None:
    untold, told = (replace(WRONG, inquiry=replace(INQUIRY, ruled=ruled)) for ruled in (None, 0.25))
    got = await grades(case.judge, untold, told)
    if isinstance(case.judge, RuleJudge):
        assert [(grade.correct, grade.failed) for grade in got] == [(0.0, True), (0.25, False)]
    else:
        by_rule = isinstance(case.judge, RuleFirstJudge)
        assert got == [Grade(correct=0.7), Grade(correct=0.25 if by_rule else 0.7)]


async def test_an_inquiry_without_a_clear_reply_has_failed_and_is_no_score() -> None:
    with asked(ScriptedEngine(lambda request: "rather near")) as judge:
        (got,) = await grades(judge, replace(WRONG, inquiry=INQUIRY))
    assert got.failed and not got.retryable and "no clear score in 3 tries" in str(got.error)


async def test_texts_with_braces_are_graded(case: Case) -> None:
    item = GradeItem(question="what is {0} in {x} ?", answer="{0}", prediction="{0}")
    assert [grade.failed for grade in await grades(case.judge, item)] == [False]


async def test_a_judge_may_be_closed_twice(case: Case) -> None:
    await case.judge.aclose()
    await case.judge.aclose()


@pytest.mark.parametrize(("retryable", "status"), [(True, 503), (False, 400)])
async def test_a_failed_request_is_a_failed_grade_and_spoils_no_other(retryable: bool, status: int) -> None:
    def moody(request: Request) -> ScriptLine:
        if "blue" in request.messages[-1].text:
            return BackendFailed(error="no", retryable=retryable)
        return fair(request)

    with asked(ScriptedEngine(moody)) as judge:
        got = await grades(judge, RIGHT, WRONG, SILENT)
    assert [(grade.correct, grade.failed) for grade in got] == [(1.0, False), (0.0, True), (0.0, False)]
    assert got[1].error is not None and f"HTTP {status}" in got[1].error and got[1].retryable is retryable


async def test_a_key_that_is_refused_ends_the_work_and_says_what_to_mend() -> None:
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat() -> Response:
        return Response('{"error": {"message": "bad key"}}', status_code=401, media_type="application/json")

    with background_server(app, ready_path=None) as url:
        judge = open_judge(f"openai:{url}/v1?model=m", api_key="wrong")
        with pytest.raises(JudgeError, match=r"HTTP 401: bad key.*OPENAI_API_KEY"):
            await judge.grade(RIGHT)
        await judge.aclose()


async def test_a_judge_whose_model_refuses_fields_is_asked_in_its_way() -> None:
    """F20: no `max_tokens`, and no temperature but its own, as OpenAI's reasoning models have it."""
    seen: list[dict[str, object]] = []
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(request: HttpRequest) -> JSONResponse:
        body = await request.json()
        seen.append(body)
        for field, wrong in (("max_tokens", "max_tokens" in body), ("temperature", body.get("temperature", 1) != 1)):
            if wrong:
                told = f"Unsupported parameter: '{field}' is not supported with this model."
                return JSONResponse({"error": {"message": told, "param": field}}, status_code=400)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Score: 1"}}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        return JSONResponse({**head, "choices": [choice]})

    with background_server(app, ready_path=None) as url:
        assert await grades(open_judge(f"openai:{url}/v1?model=m"), RIGHT) == [Grade(correct=1.0)]
    assert "max_completion_tokens" in seen[-1] and "temperature" not in seen[-1]


async def test_a_server_that_is_down_fails_every_grade() -> None:
    with asked(ScriptedEngine(fair), url="http://127.0.0.1:9") as judge:
        assert [grade.failed for grade in await grades(judge, RIGHT, WRONG)] == [True, True]


async def test_an_unclear_reply_is_asked_for_again_at_a_higher_temperature() -> None:
    engine = ScriptedEngine(["I think it is right.", "Score: 0 or 1", "Score: 1"])
    with asked(engine) as judge:
        assert await grades(judge, RIGHT) == [Grade(correct=1.0)]
    assert [request.sampling.temperature for request in engine.requests] == [0.0, 0.2, 0.4]


async def test_a_reply_that_stays_unclear_is_a_failed_grade() -> None:
    engine = ScriptedEngine(["maybe"] * 9)
    with asked(engine) as judge:
        (grade,) = await grades(judge, RIGHT)
    assert grade.failed and not grade.retryable and "no clear score" in (grade.error or "")
    assert len(engine.requests) == 3


async def test_equal_items_are_asked_about_once_and_failures_again() -> None:
    engine = ScriptedEngine(["Score: 1", "?", "?", "?", "Score: 0"])
    with asked(engine) as judge:
        assert [grade.correct for grade in await asyncio.gather(judge.grade(RIGHT), judge.grade(RIGHT))] == [1.0, 1.0]
        assert (await judge.grade(WRONG)).failed
        assert await grades(judge, RIGHT, WRONG) == [Grade(correct=1.0), Grade(correct=0.0)]
    assert len(engine.requests) == 5


async def test_equal_items_share_the_failure_of_their_one_call() -> None:
    engine = ScriptedEngine([BackendFailed(error="no"), "Score: 1"])
    with asked(engine) as judge:
        got = await asyncio.gather(*(judge.grade(RIGHT) for _ in range(8)))
        assert [grade.failed for grade in got] == [True] * 8
        assert await grades(judge, RIGHT) == [Grade(correct=1.0)]
    assert len(engine.requests) == 2


async def test_a_caller_that_leaves_does_not_fail_the_others() -> None:
    engine = ScriptedEngine(["Score: 1"])
    with asked(engine) as judge:
        first, second = asyncio.create_task(judge.grade(RIGHT)), asyncio.create_task(judge.grade(RIGHT))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == Grade(correct=1.0)
        assert first.cancelled()
        await judge.aclose()
    assert len(engine.requests) == 1


async def test_an_item_that_everybody_left_is_asked_about_again() -> None:
    with asked(ScriptedEngine(fair)) as judge:
        alone = asyncio.create_task(judge.grade(RIGHT))
        await asyncio.sleep(0)
        alone.cancel()
        assert await grades(judge, RIGHT) == [Grade(correct=1.0)]


async def test_the_language_model_is_asked_only_for_what_the_rule_cannot_tell() -> None:
    engine = ScriptedEngine(["Score: 1"])
    with asked(engine) as judge:
        got = await grades(RuleFirstJudge(judge), RIGHT, OPEN, WRONG, SILENT)
    assert [grade.correct for grade in got] == [1.0, 1.0, 0.0, 0.0]
    assert len(engine.requests) == 1


async def test_the_failure_of_the_language_model_is_the_grade_of_both() -> None:
    with asked(ScriptedEngine(fair), url="http://127.0.0.1:9") as judge:
        assert [grade.failed for grade in await grades(RuleFirstJudge(judge), RIGHT, OPEN)] == [False, True]


async def test_settings_name_the_judge_of_the_stages() -> None:
    assert isinstance(judge_of(RunConfig(), {}), RuleJudge)
    with background_server(chat_server(ScriptedEngine(fair)), ready_path=None) as url:
        config = override_config(RunConfig(), {"judge.uri": f"openai:{url}/v1?model=scripted"})
        judge = judge_of(config, {"OPENAI_API_KEY": "secret"})
        assert isinstance(judge, OpenAIJudge)
        assert await grades(judge, RIGHT, WRONG) == [Grade(correct=1.0), Grade(correct=0.0)]


async def test_settings_may_name_the_rule_and_a_language_model() -> None:
    engine = ScriptedEngine(["Score: 1"])
    with background_server(chat_server(engine), ready_path=None) as url:
        config = override_config(RunConfig(), {"judge.uri": f"rule+openai:{url}/v1?model=scripted"})
        judge = judge_of(config, {})
        assert isinstance(judge, RuleFirstJudge)
        assert await grades(judge, WRONG, OPEN) == [Grade(correct=0.0), Grade(correct=1.0)]
    assert len(engine.requests) == 1


@pytest.mark.parametrize("uri", ["", "rules", "openai:", "openai:host/v1", "rule+", "rule+rule", "openai+rule"])
def test_settings_that_name_no_judge_are_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"judge\.uri"):
        override_config(RunConfig(), {"judge.uri": uri})
