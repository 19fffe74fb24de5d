"""One episode over an engine: every turn is asked for with its own seed, in one session."""

import pytest
from PIL import Image
from tests.unit.engines.conversation import RULE, noise

from visionthink.core.episode import BackendFailed, EpisodeSpec, Finish, NoRoom, Outcome
from visionthink.core.geometry import Size
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ResizeImage, ToolBox
from visionthink.engines import Request, Sampling, ScriptedEngine, ScriptLine
from visionthink.episodes.driver import derived_seed, run_episode
from visionthink.errors import DataError

CALL = '<think>a</think><tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'


def episode(question: str, *, width: int = 112) -> tuple[EpisodeSpec, Image.Image]:
    spec = EpisodeSpec(
        question=question,
        original=Size(width=width, height=112),
        protocol=get_protocol("compact-efficient-v1"),
        toolbox=ToolBox([ResizeImage()]),
        rule=RULE,
    )
    return spec, noise()


def by_question(request: Request) -> ScriptLine:
    """Near questions are answered at once, far ones after a second look, lost ones never, full ones find no room."""
    question = request.messages[0].text
    if "lost" in question:
        return BackendFailed(error="line cut", retryable="for now" in question)
    if "full" in question:
        return NoRoom(error="1030 tokens")
    if "far" in question and len(request.messages) == 1:
        return CALL
    return f"<answer>{question.split()[0]}</answer>"


async def run(question: str, engine: ScriptedEngine | None = None, seed: int | None = 1, *place: int) -> Finish:
    spec, picture = episode(question)
    sampling = Sampling(seed=seed)
    return await run_episode(engine or ScriptedEngine(by_question), spec, picture, sampling, place=place, session="s")


@pytest.mark.parametrize(
    ("question", "outcome", "answer", "num_views"),
    [
        ("near", Outcome.ANSWERED, "near", 1),
        ("far", Outcome.ANSWERED, "far", 2),
        ("lost", Outcome.FAILED, None, 1),
        ("full", Outcome.NO_ROOM, None, 1),
    ],
)
async def test_run_episode_ends_as_the_core_says(
    question: str, outcome: Outcome, answer: str | None, num_views: int
) -> None:
    finish = await run(question)
    assert (finish.outcome, finish.answer, len(finish.trace.views)) == (outcome, answer, num_views)


async def test_a_failure_says_whether_another_try_may_come_off() -> None:
    finish = await run("lost for now")
    assert (finish.error, finish.retryable) == ("line cut", True)
    assert not (await run("lost")).retryable


async def test_every_turn_of_every_place_has_its_own_seed_and_repeats_it() -> None:
    async def seeds(seed: int | None, *place: int) -> list[int | None]:
        engine = ScriptedEngine(by_question)
        await run("far", engine, seed, *place)
        return [request.sampling.seed for request in engine.requests]

    first, second = await seeds(1, 0), await seeds(1, 1)
    assert len({*first, *second}) == 4
    assert first == await seeds(1, 0) != await seeds(2, 0)
    assert await seeds(None) == [None, None]


async def test_all_turns_are_of_one_session() -> None:
    engine = ScriptedEngine(by_question)
    await run("far", engine)
    assert [request.session for request in engine.requests] == ["s", "s"]


async def test_a_picture_without_a_view_is_refused() -> None:
    spec, picture = episode("near", width=112 * 300)
    with pytest.raises(DataError, match="200 times"):
        await run_episode(ScriptedEngine(by_question), spec, picture, Sampling())


def test_derived_seed_is_the_same_on_every_machine() -> None:
    assert derived_seed(1, 2, 3) == 186301556744383
    assert len({derived_seed(seed, index) for seed in range(50) for index in range(50)}) == 2500
