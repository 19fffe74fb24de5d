"""Answered and graded: what is done, what is lost, what stays open, and when everything stops."""

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import pytest
from PIL import Image
from tests.fakes.asked import Naps, runner_over

from visionthink.config import RunConfig, override_config
from visionthink.core.episode import BackendFailed, Event, NoRoom
from visionthink.core.sample import Sample
from visionthink.engines import Engine, Request, Sampling, ScriptedEngine, ScriptLine
from visionthink.episodes.outage import FailureRule
from visionthink.episodes.prompting import prompting_of
from visionthink.episodes.runner import Ask, Done, End, EpisodeRunner, Leftover, Lost, RunnerLimits, Work
from visionthink.errors import DataError, EngineError, JudgeError
from visionthink.judges import Grade, GradeItem, RuleJudge
from visionthink.picture import decode

ASK = Ask(policy="always_low", sampling=Sampling(temperature=0.0))
DOWN = BackendFailed(error="line cut")
REFUSED = BackendFailed(error="a content filter", retryable=False)


@lru_cache
def png(width: int = 56, height: int = 56) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, format="PNG")
    return file.getvalue()


def sample(name: str, picture: bytes = png()) -> Sample:
    return Sample(
        id=name,
        question=f"{name} : what color ?",
        answer="red",
        family="color",
        needs_high_res=None,
        source="test",
        picture=picture,
    )


def named(request: Request) -> str:
    return request.messages[0].text.split()[0]


class Fate:
    """An engine and a judge whose lines for each sample are written beforehand; the last one is said for ever."""

    def __init__(self, **lines: Sequence[ScriptLine | Grade]) -> None:
        self.lines = {name: list(said) for name, said in lines.items()}
        self.asked: list[str] = []
        self.graded: list[str] = []

    def engine(self) -> ScriptedEngine:
        def reply(request: Request) -> ScriptLine:
            self.asked.append(named(request))
            said = [line for line in self.lines.get(named(request), []) if not isinstance(line, Grade)]
            if not said:
                return "<answer>red</answer>"
            if len(said) > 1:
                self.lines[named(request)].remove(said[0])
            return said[0]

        return ScriptedEngine(reply)

    async def grade(self, item: GradeItem) -> Grade:
        name = item.question.split()[0]
        self.graded.append(name)
        said = [line for line in self.lines.get(name, []) if isinstance(line, Grade)]
        if not said:
            return Grade(correct=float(item.prediction == item.answer))
        if len(said) > 1:
            self.lines[name].remove(said[0])
        return said[0]

    async def aclose(self) -> None:
        pass

    def runner(self, rule: FailureRule | None = None, *, naps: Naps | None = None, **limits: float) -> EpisodeRunner:
        made = replace(RunnerLimits(), failures=rule or FailureRule(), **limits)  # type: ignore[arg-type]
        return runner_over(self.engine(), self, limits=made, naps=naps)


async def ends_of(
    runner: EpisodeRunner, samples: Sequence[Sample], *, num_asks: int = 1
) -> tuple[dict[str, End], Leftover[int]]:
    ends: dict[str, End] = {}
    work = [Work(key=index, sample=one, asks=(ASK,) * num_asks) for index, one in enumerate(samples)]
    left = await runner.run(work, lambda item, end: ends.__setitem__(item.sample.id, end))
    return ends, left


def open_ids(left: Leftover[int]) -> list[tuple[str, str]]:
    return [(work.sample.id, error) for work, error in left.open]


async def test_every_sample_ends_with_its_graded_episodes() -> None:
    fate = Fate(b=["<answer>blue</answer>"])
    ends, left = await ends_of(fate.runner(), [sample("a"), sample("b")], num_asks=3)
    assert left.open == ()
    found = {}
    for name, end in ends.items():
        assert isinstance(end, Done) and (end.size.width, end.size.height) == (56, 56)
        found[name] = [(one.finish.answer, one.grade.correct) for one in end.episodes]
    assert found == {"a": [("red", 1.0)] * 3, "b": [("blue", 0.0)] * 3}


async def test_a_reply_that_fails_is_asked_for_again_later_and_later() -> None:
    naps = Naps()
    fate = Fate(a=[DOWN, DOWN, "<answer>red</answer>"])
    ends, _ = await ends_of(fate.runner(naps=naps), [sample("a")])
    assert isinstance(ends["a"], Done)
    assert fate.asked == ["a"] * 3 and naps.waits == [1.0, 2.0]


async def test_a_grade_that_fails_is_asked_for_again_and_the_episode_is_not() -> None:
    fate = Fate(a=[Grade(correct=1.0, failed=True, error="busy"), Grade(correct=1.0)])
    ends, _ = await ends_of(fate.runner(), [sample("a")])
    assert isinstance(ends["a"], Done) and ends["a"].episodes[0].grade == Grade(correct=1.0)
    assert (fate.asked, fate.graded) == (["a"], ["a", "a"])


@pytest.mark.parametrize(
    ("line", "why"),
    [(DOWN, "line cut"), (Grade(correct=1.0, failed=True, error="busy"), "the judge failed: busy")],
    ids=["engine", "judge"],
)
async def test_what_keeps_failing_while_others_come_off_stays_open(line: ScriptLine | Grade, why: str) -> None:
    fate = Fate(b=[line])
    ends, left = await ends_of(fate.runner(), [sample(name) for name in "abc"], num_asks=2)
    assert sorted(ends) == ["a", "c"]
    assert open_ids(left) == [("b", why)]


@pytest.mark.parametrize("line", [REFUSED, NoRoom(error="9000 tokens")], ids=["refused", "too long a question"])
async def test_what_is_refused_while_others_come_off_is_lost(line: Event) -> None:
    fate = Fate(a=[line])
    ends, left = await ends_of(fate.runner(), [sample(name) for name in "abc"])
    assert left.open == () and isinstance(ends["b"], Done)
    assert isinstance(ends["a"], Lost) and line.error in ends["a"].error  # type: ignore[union-attr]
    assert fate.asked.count("a") == 1


async def test_when_everything_is_refused_nothing_is_lost() -> None:
    """A server that refuses a setting refuses all; it is not the samples' fault."""
    fate = Fate(a=[REFUSED], b=[REFUSED])
    ends, left = await ends_of(fate.runner(), [sample("a"), sample("b")])
    assert ends == {}
    assert sorted(open_ids(left)) == [("a", "a content filter"), ("b", "a content filter")]


async def test_a_picture_without_a_view_is_lost() -> None:
    ends, _ = await ends_of(Fate().runner(), [sample("a"), sample("sliver", png(28 * 300, 28))])
    assert isinstance(ends["sliver"], Lost) and "200 times" in ends["sliver"].error


async def test_a_judge_that_cannot_tell_is_no_failure_while_it_can_tell_elsewhere() -> None:
    unclear = Grade(correct=0.0, failed=True, error="two readings", retryable=False)
    ends, left = await ends_of(Fate(a=[unclear]).runner(), [sample("a"), sample("b")])
    assert left.open == () and isinstance(ends["a"], Done)
    assert ends["a"].episodes[0].grade == unclear
    ends, left = await ends_of(Fate(a=[unclear], b=[unclear]).runner(), [sample("a"), sample("b")])
    assert ends == {} and sorted(name for name, _ in open_ids(left)) == ["a", "b"]


async def test_a_judge_that_answers_blanks_alone_is_not_known_to_work() -> None:
    """A blank answer is wrong without a look; it must not hide that the judge is away."""
    busy = Grade(correct=1.0, failed=True, error="busy")
    lines: dict[str, list[ScriptLine | Grade]] = {f"s{number}": [busy] for number in range(40)}
    lines |= {f"s{number}": ["", Grade(correct=0.0)] for number in range(0, 40, 8)}
    with pytest.raises(JudgeError, match="of the grades asked for, 16 in a row failed, the last with: busy"):
        await ends_of(Fate(**lines).runner(FailureRule(max_tries=1)), [sample(name) for name in lines])


@pytest.mark.parametrize(("line", "kind"), [(DOWN, EngineError), (REFUSED, EngineError)])
async def test_failures_in_a_row_stop_everything(line: ScriptLine, kind: type[Exception]) -> None:
    names = [f"s{number}" for number in range(1000)]
    fate = Fate(**{name: [line] for name in names})
    with pytest.raises(kind, match=r"of the replies asked for, 16 in a row failed.*model\.engine"):
        await ends_of(fate.runner(), [sample(name) for name in names])
    assert len(fate.asked) < 1000


async def test_an_outage_in_the_middle_stops_and_keeps_what_was_done() -> None:
    """The server goes away for good after 300 replies; nothing that comes later is written down as a result."""
    names = [f"s{number}" for number in range(1000)]
    num_asked = 0

    def reply(request: Request) -> ScriptLine:
        nonlocal num_asked
        num_asked += 1
        return "<answer>red</answer>" if num_asked <= 300 else DOWN

    ends: dict[str, End] = {}
    work = [Work(key=index, sample=sample(name), asks=(ASK,)) for index, name in enumerate(names)]
    with pytest.raises(EngineError, match="in a row failed"):
        await runner_over(ScriptedEngine(reply)).run(work, lambda item, end: ends.__setitem__(item.sample.id, end))
    assert 0 < len(ends) <= 300 and all(isinstance(end, Done) for end in ends.values())


async def test_an_engine_that_cannot_work_at_all_stops_at_once() -> None:
    class Locked(ScriptedEngine):
        async def reply(self, request: Request) -> Event:
            raise EngineError("HTTP 401: a wrong key", retryable=False)

    with pytest.raises(EngineError, match="401"):
        await ends_of(runner_over(Locked([])), [sample("a"), sample("b")])


async def test_an_episode_that_does_not_end_is_a_failure() -> None:
    class Silent(ScriptedEngine):
        async def reply(self, request: Request) -> Event:
            if named(request) == "a":
                await asyncio.Event().wait()
            return await super().reply(request)

    limits = RunnerLimits(timeout_s=0.01, failures=FailureRule(max_tries=2))
    runner = runner_over(Silent(lambda request: "<answer>red</answer>"), limits=limits)
    ends, left = await ends_of(runner, [sample("a"), sample("b")])
    assert open_ids(left) == [("a", "the episode did not end within 0.01 s")] and sorted(ends) == ["b"]


async def test_no_more_episodes_are_at_work_than_the_limit_says_and_each_picture_is_decoded_once() -> None:
    at_work = most = 0

    class Slow(ScriptedEngine):
        async def reply(self, request: Request) -> Event:
            nonlocal at_work, most
            at_work += 1
            most = max(most, at_work)
            for _ in range(3):
                await asyncio.sleep(0)
            at_work -= 1
            return await super().reply(request)

    decoded: list[str] = []

    def count(one: Sample) -> Image.Image:
        decoded.append(one.id)
        return decode(one.picture)

    engine, limits = Slow(lambda request: "<answer>red</answer>"), RunnerLimits(max_in_flight=4)
    prompting = prompting_of(RunConfig())
    runner = EpisodeRunner(engine, RuleJudge(), prompting, decode=count, limits=limits)
    ends, _ = await ends_of(runner, [sample(f"s{number}") for number in range(20)], num_asks=3)
    assert len(ends) == 20 and most == 4
    assert sorted(decoded) == sorted(f"s{number}" for number in range(20))


@pytest.mark.parametrize("skips", [True, False])
async def test_a_picture_that_cannot_be_decoded_is_lost_where_that_is_wanted(skips: bool) -> None:
    config = override_config(RunConfig(), {"data.skip_bad": skips})
    runner = runner_over(Fate().engine(), config=config)
    samples = [sample("a"), sample("broken", png()[:60])]
    if not skips:
        with pytest.raises(DataError, match=r"broken: .*corrupt"):
            await ends_of(runner, samples)
        return
    ends, left = await ends_of(runner, samples, num_asks=2)
    assert isinstance(ends["broken"], Lost) and "corrupt" in ends["broken"].error
    assert isinstance(ends["a"], Done) and left.open == ()


async def test_one_episode_alone_is_not_tried_again() -> None:
    fate = Fate(a=[DOWN])
    with pytest.raises(EngineError, match="a: line cut"):
        await fate.runner().episode(sample("a"), ASK)
    assert fate.asked == ["a"]
    assert (await fate.runner().episode(sample("b"), ASK)).answer == "red"


def test_every_engine_fits() -> None:
    made: Callable[[], Engine] = Fate().engine
    assert made().model == "scripted"
