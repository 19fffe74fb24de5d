"""Somebody else's questions become our episodes; what could not be had is no answer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.fakes.seeing import seeing_engine

from visionthink.core.episode import BackendFailed, NoRoom
from visionthink.core.sample import Sample
from visionthink.datasets.world import TRAINED_FAMILIES, generate
from visionthink.engines import Engine, Request, ScriptedEngine
from visionthink.engines.reply_cache import CachedEngine
from visionthink.engines.scripted import ScriptLine
from visionthink.errors import ConfigError, EngineError
from visionthink.lmms.answering import Question, Reply, answer
from visionthink.lmms.argument import Arguments, read_arguments
from visionthink.picture import decode

SAMPLES = tuple(generate("test", 24, seed=3, families=TRAINED_FAMILIES))
ANSWER = "<think>seen</think><answer>red</answer>"
CALL = '<tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'


def arguments(**given: object) -> Arguments:
    return read_arguments({"engine": "scripted:none", **given})


def about(sample: Sample) -> Question:
    return Question(name=sample.id, text=sample.question, pictures=lambda: [decode(sample.picture)])


def question(*pictures: object, name: str = "q", text: str = "what ?") -> Question:
    return Question(name=name, text=text, pictures=lambda: pictures)


async def asked(
    questions: Sequence[Question], engine: Engine, *, on_reply: Callable[[], None] = lambda: None, **given: object
) -> list[Reply]:
    return await answer(questions, arguments(**given), engine, on_reply=on_reply)


def picture(colour: str = "white") -> Image.Image:
    return Image.new("RGB", (112, 112), colour)


async def test_answers_come_in_the_order_of_the_questions_with_what_they_cost() -> None:
    told: list[int] = []
    replies = await asked(
        [about(sample) for sample in SAMPLES], seeing_engine(SAMPLES), on_reply=lambda: told.append(1), concurrency=5
    )
    assert [reply.text for reply in replies] == [sample.answer for sample in SAMPLES]
    want = [(1, 20, 2) if sample.needs_high_res else (0, 4, 1) for sample in SAMPLES]
    assert [(reply.num_views_asked, reply.visual_tokens, reply.num_turns) for reply in replies] == want
    assert len(told) == len(SAMPLES)


@pytest.mark.parametrize(("policy", "tokens"), [("always_low", 4), ("always_high", 16)])
async def test_a_fixed_view_is_one_turn_without_a_tool(policy: str, tokens: int) -> None:
    engine = ScriptedEngine(lambda _: ANSWER)
    (reply,) = await asked([question(picture())], engine, policy=policy)
    assert (reply.num_turns, reply.visual_tokens) == (1, tokens)
    assert "resize_image" not in engine.requests[0].messages[0].text


async def test_max_turns_bounds_the_asking() -> None:
    (reply,) = await asked([question(picture())], ScriptedEngine(lambda _: CALL), max_turns=1)
    assert (reply.text, reply.outcome, reply.num_turns) == ("", "no_answer", 2)


async def test_a_question_without_a_picture_is_one_plain_turn_among_the_others() -> None:
    def reply(request: Request) -> ScriptLine:
        return ANSWER if any(message.views for message in request.messages) else "<answer>4</answer>"

    engine = ScriptedEngine(reply)
    replies = await asked(
        [question(picture(), name="a"), question(text="2 + 2 ?", name="b"), question(picture())], engine
    )
    assert [one.text for one in replies] == ["red", "4", "red"]
    assert (replies[1].visual_tokens, replies[1].num_turns, replies[1].num_views_asked) == (0, 1, 0)
    (plain,) = [request for request in engine.requests if not any(message.views for message in request.messages)]
    assert "2 + 2 ?" in plain.messages[-1].text and "resize_image" not in plain.messages[0].text


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        pytest.param(
            (picture(), picture()),
            "q shows 2 pictures, and an evaluation asks about one at a time; leave",
            id="two pictures",
        ),
        pytest.param(
            ("clip.mp4",), "q shows a str, and an episode looks at a picture; leave tasks with videos", id="video"
        ),
        pytest.param(({"array": []},), "q shows a dict, ", id="sound"),
    ],
)
async def test_what_an_episode_cannot_look_at_is_refused(shown: tuple[object, ...], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        await asked([question(*shown)], ScriptedEngine(lambda _: ANSWER))


async def test_pictures_are_opened_when_their_turn_comes() -> None:
    opened: list[str] = []
    num_open: list[int] = []

    def later(name: str) -> Question:
        def pictures() -> Sequence[object]:
            opened.append(name)
            return [picture()]

        return Question(name=name, text="what ?", pictures=pictures)

    def reply(request: Request) -> ScriptLine:
        num_open.append(len(opened))
        return ANSWER

    await asked([later(str(number)) for number in range(200)], ScriptedEngine(reply), concurrency=2)
    assert opened == [str(number) for number in range(200)]
    assert num_open[0] < 100


@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param(BackendFailed(error="bad pixels", retryable=False), "bad pixels", id="refused"),
        pytest.param(NoRoom(error="too long"), "too long", id="no room"),
        # Three tries, with seconds between them.
        pytest.param(BackendFailed(error="busy"), "busy", id="failed each time", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("has_picture", [True, False], ids=["picture", "text"])
async def test_a_question_without_a_reply_is_no_answer(line: ScriptLine, told: str, has_picture: bool) -> None:
    def reply(request: Request) -> ScriptLine:
        return line if "odd" in request.messages[-1].text else ANSWER

    odd = question(*([picture()] if has_picture else []), name="pope document 3", text="odd ?")
    with pytest.raises(
        EngineError, match=f"1 of 3 questions have no answer, the first being pope document 3: .*{told}"
    ):
        await asked([question(picture(), name="a"), odd, question(picture(), name="b")], ScriptedEngine(reply))


async def test_a_next_try_with_a_folder_of_replies_asks_for_the_lost_alone(tmp_path: Path) -> None:
    questions = [replace(question(picture(), text=f"number {number} ?"), name=str(number)) for number in range(5)]

    def reply(request: Request) -> ScriptLine:
        return BackendFailed(error="odd", retryable=False) if "number 3" in request.messages[-1].text else ANSWER

    with pytest.raises(EngineError, match="1 of 5"):
        await asked(questions, CachedEngine(ScriptedEngine(reply), tmp_path, identity={}))
    engine = ScriptedEngine(lambda _: ANSWER)
    assert len(await asked(questions, CachedEngine(engine, tmp_path, identity={}))) == 5
    assert len(engine.requests) == 1


async def test_drawn_answers_have_seeds_of_their_own_and_repeat() -> None:
    async def seeds() -> list[int | None]:
        engine = ScriptedEngine(lambda _: ANSWER)
        drawn = [replace(question(picture(), name=str(number)), temperature=0.7, top_p=0.9) for number in range(4)]
        await asked(drawn, engine, concurrency=1)
        assert {(one.sampling.temperature, one.sampling.top_p) for one in engine.requests} == {(0.7, 0.9)}
        return [one.sampling.seed for one in engine.requests]

    first = await seeds()
    assert len(set(first)) == 4
    assert await seeds() == first


async def test_the_engine_is_closed_also_after_a_failure() -> None:
    closed: list[bool] = []

    class Closing(ScriptedEngine):
        async def aclose(self) -> None:
            closed.append(True)

    with pytest.raises(ConfigError):
        await asked([question(picture(), picture())], Closing([]))
    assert closed == [True]
