"""Many episodes over one engine: rounds in lock step, failures that stay alone, seeds that repeat."""

from collections.abc import Sequence

import pytest
from PIL import Image
from tests.unit.engines.conversation import RULE, noise

from visionthink.core.episode import BackendFailed, EpisodeSpec, ModelReply, Outcome
from visionthink.core.geometry import Size
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ResizeImage, ToolBox
from visionthink.engines import Request, Sampling, ScriptedEngine, ScriptLine
from visionthink.episodes.driver import derived_seed, run_episodes
from visionthink.errors import EngineError

CALL = '<think>a</think><tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'
SAMPLING = Sampling(seed=1)


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
    """Small questions are answered at once, far ones after a second look, and lost ones never."""
    question = request.messages[0].text
    if "lost" in question:
        return BackendFailed(error="line cut")
    if "far" in question and len(request.messages) == 1:
        return CALL
    return f"<answer>{question.split()[0]}</answer>"


async def test_run_episodes_ends_every_episode_in_order() -> None:
    engine = ScriptedEngine(by_question)
    finishes = await run_episodes(
        engine, [episode("near"), episode("far"), episode("lost"), episode("close")], SAMPLING
    )
    assert [finish.outcome for finish in finishes] == [
        Outcome.ANSWERED,
        Outcome.ANSWERED,
        Outcome.FAILED,
        Outcome.ANSWERED,
    ]
    assert [finish.answer for finish in finishes] == ["near", "far", None, "close"]
    assert [finish.trace.num_views_asked for finish in finishes] == [0, 1, 0, 0]
    assert finishes[2].error == "line cut"


async def test_run_episodes_asks_for_whole_rounds() -> None:
    sizes: list[int] = []

    class Counting(ScriptedEngine):
        async def generate(self, requests: Sequence[Request]) -> list[ModelReply | BackendFailed]:
            sizes.append(len(requests))
            return await super().generate(requests)

    await run_episodes(Counting(by_question), [episode("near"), episode("far"), episode("far")], SAMPLING)
    assert sizes == [3, 2]


async def test_run_episodes_of_nothing_asks_nothing() -> None:
    assert await run_episodes(ScriptedEngine([]), [], SAMPLING) == []


async def test_run_episodes_gives_every_turn_of_every_episode_its_own_seed_and_repeats_it() -> None:
    async def seeds(sampling: Sampling, given: Sequence[int] | None = None) -> list[int | None]:
        engine = ScriptedEngine(by_question)
        await run_episodes(engine, [episode("far"), episode("far")], sampling, seeds=given)
        return [request.sampling.seed for request in engine.requests]

    first = await seeds(SAMPLING)
    assert len(set(first)) == 4 and first == await seeds(SAMPLING) != await seeds(Sampling(seed=2))
    assert await seeds(Sampling()) == [None] * 4
    swapped = await seeds(SAMPLING, [9, 8])
    assert await seeds(SAMPLING, [8, 9]) == [swapped[1], swapped[0], swapped[3], swapped[2]]


def test_derived_seed_is_the_same_on_every_machine() -> None:
    assert derived_seed(1, 2, 3) == 186301556744383
    assert len({derived_seed(seed, index) for seed in range(50) for index in range(50)}) == 2500


async def test_a_picture_without_a_view_ends_its_own_episode_only() -> None:
    sliver, good = episode("near", width=112 * 300), episode("near")
    failed, answered = await run_episodes(ScriptedEngine(by_question), [sliver, good], SAMPLING)
    assert failed.outcome is Outcome.FAILED and "200 times" in (failed.error or "")
    assert answered.outcome is Outcome.ANSWERED


async def test_an_engine_that_raises_fails_the_episodes_that_wait() -> None:
    class Down(ScriptedEngine):
        async def generate(self, requests: Sequence[Request]) -> list[ModelReply | BackendFailed]:
            raise EngineError("no power", retryable=True)

    finishes = await run_episodes(Down([]), [episode("near"), episode("far")], SAMPLING)
    assert [(finish.outcome, finish.error) for finish in finishes] == [(Outcome.FAILED, "no power")] * 2


async def test_an_engine_that_loses_a_request_is_a_bug() -> None:
    class Losing(ScriptedEngine):
        async def generate(self, requests: Sequence[Request]) -> list[ModelReply | BackendFailed]:
            return (await super().generate(requests))[1:]

    with pytest.raises(EngineError, match="1 events to 2 requests"):
        await run_episodes(Losing(by_question), [episode("near"), episode("far")], SAMPLING)


async def test_progress_is_told_after_every_round() -> None:
    told: list[tuple[int, int]] = []
    await run_episodes(
        ScriptedEngine(by_question),
        [episode("near"), episode("far"), episode("lost")],
        SAMPLING,
        on_progress=lambda done, of: told.append((done, of)),
    )
    assert told == [(2, 3), (3, 3)]
