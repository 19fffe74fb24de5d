"""What a language model and its server may do to a judge: every grade ends in time, and as a verdict or a failure."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.contract.engines.chat_server import chat_server
from tests.fakes.asked import runner_over
from tests.fakes.judge_reply import CLEAR, UNCLEAR
from tests.unit.episodes.test_runner import ASK, sample

from visionthink.core.json_value import Json
from visionthink.engines import Request, ScriptedEngine, ScriptLine
from visionthink.engines.chat_client import ChatClient, RetryRule
from visionthink.episodes.runner import Work
from visionthink.errors import JudgeError
from visionthink.judges import CallLog, Grade, GradeItem, Inquiry, JudgeLimits, JudgeTally, RuleFirstJudge
from visionthink.judges.call_log import read_calls
from visionthink.judges.openai_judge import OpenAIJudge
from visionthink.judges.prompt import PAPER, VERIFIER
from visionthink.serving.server import background_server

RED: Final = GradeItem(question="what color ?", answer="red", prediction="red")
FOREVER_S: Final = 3600.0
COMPLETION: Final[dict[str, Json]] = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Score: 1"}}],
}


def response(body: str, status: str = "200 OK", *headers: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"content-length: {len(body.encode())}", *headers))
    return f"{head}content-type: application/json\r\n\r\n{body}".encode()


@asynccontextmanager
async def server_that(*pieces: bytes | None) -> AsyncIterator[str]:
    """A server that answers every request with these bytes; at a None it goes on holding the line in silence."""
    tasks = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                for piece in pieces:
                    if piece is None:
                        await asyncio.Event().wait()
                    writer.write(piece or b"")
                    await writer.drain()
                if b"HTTP/1.1 200" not in b"".join(piece or b"" for piece in pieces):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def judge_at(url: str, *, retries: int = 0, try_s: float = FOREVER_S, **limits: float | None) -> OpenAIJudge:
    client = ChatClient(
        url, model="m", timeout_s=try_s, retry=RetryRule(max_retries=retries, first_delay_s=0.01, max_delay_s=0.02)
    )
    return OpenAIJudge(client, limits=JudgeLimits(**{"grade_timeout_s": 20.0, **limits}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pieces", "want"),
    [
        pytest.param((None,), "no verdict within", id="half-open: the connection is taken and nothing comes"),
        pytest.param((b"HTTP/1.1 200 OK\r\n", None), "no verdict within", id="a status and then nothing"),
        pytest.param((response("{}" * 99)[:-90], None), "no verdict within", id="half of a body and then nothing"),
        pytest.param((b"",), "", id="the connection is closed without a word"),
        pytest.param((b"SSH-2.0-OpenSSH_9.2\r\n",), "", id="another protocol"),
        pytest.param((response("{}", "429 Too Many Requests"),), "429", id="busy"),
        pytest.param((response("{}", "503 Service Unavailable"),), "503", id="away"),
        pytest.param((response("<html>", "502 Bad Gateway"),), "502", id="a proxy's page"),
        pytest.param((response("<html>hello</html>"),), "", id="a page with status 200"),
        pytest.param((response('{"choices": 3}'),), "", id="JSON that is no completion"),
        pytest.param((response('{"choices": [{"message'),), "", id="half of a JSON text"),
        pytest.param((response(json.dumps({**COMPLETION, "choices": []})),), "no clear score", id="no choice at all"),
        pytest.param((response("[]", "400 Bad Request"),), "400", id="a refused request"),
    ],
)
async def test_whatever_a_server_does_is_a_failed_grade_in_time(pieces: tuple[bytes | None, ...], want: str) -> None:
    async with server_that(*pieces) as url:
        judge = judge_at(url, grade_timeout_s=0.5)
        async with asyncio.timeout(10):
            grade = await judge.grade(RED)
            await judge.aclose()
    assert grade.failed and grade.correct == 0.0 and grade.error is not None and want in grade.error, grade


async def test_a_storm_of_refusals_ends_in_time_though_the_client_would_go_on() -> None:
    async with server_that(response("{}", "429 Too Many Requests", "retry-after: 0")) as url:
        judge = judge_at(url, retries=10**9, grade_timeout_s=0.5)
        async with asyncio.timeout(10):
            grades = await asyncio.gather(*(judge.grade(other(number)) for number in range(40)))
            await judge.aclose()
    assert all(grade.failed and grade.retryable and "judge.grade_timeout_s" in str(grade.error) for grade in grades)


async def test_a_slow_server_that_answers_in_time_is_heard() -> None:
    body = response(json.dumps(COMPLETION))
    async with server_that(*(body[place : place + 16] for place in range(0, len(body), 16))) as url:
        judge = judge_at(url)
        assert await judge.grade(RED) == Grade(correct=1.0)
        await judge.aclose()


async def test_a_stuck_judge_cannot_hang_a_run() -> None:
    """The whole window waits for it, and the stage ends with what to look at, all samples open."""
    async with server_that(None) as url:
        judge = judge_at(url, grade_timeout_s=0.3)
        engine = ScriptedEngine(lambda request: "<answer>red</answer>")
        runner = runner_over(engine, judge)
        work = [Work(key=number, sample=sample(f"s{number}"), asks=(ASK,)) for number in range(64)]
        ended = list[int]()
        async with asyncio.timeout(15):
            with pytest.raises(JudgeError, match=r"in a row failed.*no verdict within 0\.3 s.*judge\.uri"):
                await runner.run(work, lambda item, end: ended.append(item.key))
            await judge.aclose()
    assert ended == []


def other(number: int) -> GradeItem:
    return GradeItem(question=f"{number} : what color ?", answer="red", prediction="red")


def scripted(
    script: Callable[[Request], ScriptLine] | list[ScriptLine],
) -> tuple[ScriptedEngine, JudgeTally, Callable[..., OpenAIJudge]]:
    engine, tally = ScriptedEngine(script), JudgeTally()

    def judge(url: str, **options: object) -> OpenAIJudge:
        client = ChatClient(f"{url}/v1", model="scripted", retry=RetryRule(max_retries=0), max_connections=4)
        return OpenAIJudge(client, tally=tally, **options)  # type: ignore[arg-type]

    return engine, tally, judge


async def test_every_reply_is_a_verdict_or_a_failed_grade_as_it_is_read() -> None:
    replies = [*CLEAR, *UNCLEAR]
    engine, tally, judge_of = scripted(lambda request: replies[int(json.loads(request.messages[-1].text)["question"])])
    with background_server(chat_server(engine), ready_path=None) as url:
        judge = judge_of(url)
        items = [GradeItem(question=str(number), answer="red", prediction="red") for number in range(len(replies))]
        grades = await asyncio.gather(*map(judge.grade, items))
        await judge.aclose()
    told = dict(zip(replies, grades, strict=True))
    assert {text: grade.correct for text, grade in told.items() if not grade.failed} == CLEAR
    assert {text for text, grade in told.items() if grade.failed} == set(UNCLEAR)
    assert (tally.num_failed, tally.num_unclear) == (len(UNCLEAR), 3 * len(UNCLEAR))


async def test_the_verifier_is_asked_and_read_in_its_own_way() -> None:
    engine, _, judge_of = scripted(["[[YES]]", "[[NO]]"])
    with background_server(chat_server(engine), ready_path=None) as url:
        judge = judge_of(url, prompt=VERIFIER)
        assert [(await judge.grade(other(number))).correct for number in (1, 2)] == [1.0, 0.0]
        await judge.aclose()
    assert engine.requests[0].messages[-1].text.startswith("Problem: 1 : what color ?\nAnswer 1 (**Model")


async def test_a_benchmarks_own_question_is_asked_alone_and_read_in_its_way() -> None:
    def read(reply: str) -> float | None:
        return {"half": 0.5, "<all>": 1.0}.get(reply)

    engine, _, judge_of = scripted(["<think>half</think><all>", "Score: 1", "half"])
    items = [replace(other(number), inquiry=Inquiry(text=f"how much of {number}?", read=read)) for number in (1, 2)]
    with background_server(chat_server(engine), ready_path=None) as url:
        judge = judge_of(url)
        assert [(await judge.grade(item)).correct for item in (*items, *items)] == [1.0, 0.5, 1.0, 0.5]
        await judge.aclose()
    assert [[message.text for message in request.messages] for request in engine.requests] == [
        ["how much of 1?"],
        ["how much of 2?"],
        ["how much of 2?"],
    ]


async def test_a_verdict_on_other_answers_is_another_one() -> None:
    """What a benchmark reads may depend on the answers, which its question does not name."""
    engine, _, judge_of = scripted(["red", "red"])
    with background_server(chat_server(engine), ready_path=None) as url:
        judge = judge_of(url)
        for answer in ("red", "blue"):
            inquiry = Inquiry(text="which?", read=lambda reply, want=answer: float(reply == want))  # type: ignore[misc]
            item = GradeItem(question="which ?", answer=answer, prediction="it is red", inquiry=inquiry)
            assert (await judge.grade(item)).correct == float(answer == "red")
        await judge.aclose()


async def test_a_verdict_is_remembered_by_model_prompt_and_text(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls.jsonl")
    engine, tally, judge_of = scripted(["Score: 1", "Score: 0", "Score: 0"])
    with background_server(chat_server(engine), ready_path=None) as url:
        first, again, paper = judge_of(url, log=log), judge_of(url, log=log), judge_of(url, log=log, prompt=PAPER)
        assert [(await one.grade(RED)).correct for one in (first, again, paper)] == [1.0, 1.0, 0.0]
        assert (await again.grade(other(1))).correct == 0.0
        for judge in (first, again, paper):
            await judge.aclose()
    assert len(engine.requests) == 3 and tally.num_remembered == 1


@pytest.mark.parametrize(
    ("limits", "num_graded", "want"),
    [
        ({"max_calls": 3}, 3, r"3 calls \(judge\.max_calls\)"),
        ({"max_tokens": 1}, 1, r"tokens \(judge\.max_tokens\)"),
    ],
)
async def test_a_run_spends_no_more_than_it_may_and_leaves_the_rest_open(
    tmp_path: Path, limits: dict[str, int], num_graded: int, want: str
) -> None:
    path = tmp_path / "calls.jsonl"
    engine, tally, judge_of = scripted(lambda request: "Score: 1")
    with background_server(chat_server(engine), ready_path=None) as url:
        judge = judge_of(url, limits=JudgeLimits(**limits), log=CallLog(path, run="one"))
        for number in range(num_graded):
            assert not (await judge.grade(other(number))).failed
        with pytest.raises(JudgeError, match=want) as caught:
            await judge.grade(other(99))
        assert not caught.value.retryable
        assert await judge.grade(other(0)) == Grade(correct=1.0), "what was judged is still known"
        assert await RuleFirstJudge(judge).grade(other(98)) == Grade(correct=1.0), "the rule costs nothing"
        await judge.aclose()
        later = judge_of(url, limits=JudgeLimits(**limits), log=CallLog(path, run="one"))
        with pytest.raises(JudgeError, match=want):  # what an earlier process of the run spent counts
            await later.grade(other(99))
        await later.aclose()
        another = judge_of(url, limits=JudgeLimits(**limits), log=CallLog(path, run="two"))
        assert await another.grade(other(0)) == Grade(correct=1.0)
        await another.aclose()
    assert len(engine.requests) == tally.num_calls == num_graded and tally.num_tokens > 0


async def test_calls_under_way_count_before_they_have_ended() -> None:
    engine, _, judge_of = scripted(lambda request: "Score: 1")
    with background_server(chat_server(engine), ready_path=None) as url:
        judge = judge_of(url, limits=JudgeLimits(max_calls=3))
        found = await asyncio.gather(*(judge.grade(other(number)) for number in range(8)), return_exceptions=True)
        await judge.aclose()
    assert sum(isinstance(one, JudgeError) for one in found) == 5 and len(engine.requests) == 3


async def test_a_call_that_failed_is_spent_as_well(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls.jsonl", run="one")
    async with server_that(None) as url:
        client = ChatClient(url, model="m", retry=RetryRule(max_retries=0))
        judge = OpenAIJudge(client, limits=JudgeLimits(grade_timeout_s=0.2), log=log)
        assert (await judge.grade(RED)).failed
        await judge.aclose()
    (call,) = read_calls(tmp_path / "calls.jsonl")
    assert (call.correct, call.error, log.num_calls) == (None, "given up", 1)
