"""However engine and judge fail, and wherever the work is killed, it ends in what an undisturbed run keeps."""

import asyncio
import random
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.asked import runner_over
from tests.unit.episodes.test_runner import named, sample

from visionthink.core.episode import BackendFailed, Event
from visionthink.core.label import LabelRule
from visionthink.core.sample import Sample
from visionthink.engines import Request, ScriptedEngine, ScriptLine
from visionthink.episodes.asking import Series, ask_open
from visionthink.episodes.outage import FailureRule
from visionthink.episodes.runner import RunnerLimits
from visionthink.episodes.shard import ShardBook
from visionthink.errors import EngineError, JudgeError
from visionthink.judges import Grade, GradeItem
from visionthink.labeling import Labelled
from visionthink.labeling.rollout import LabelSetting

SETTING = LabelSetting(rule=LabelRule(num_rollouts=2, min_gap=1), max_reply_tokens=8, seed=7)
SAMPLES = [sample(f"s{number}") for number in range(23)]
REFUSED = {"s3", "s17"}
"""What a content filter refuses, in every run."""


class Weather:
    """Says when something goes wrong: by lot, until `num_failures` are used up."""

    def __init__(self, seed: int, num_failures: int, share: float) -> None:
        self._lot, self._left, self._share = random.Random(seed), num_failures, share

    def is_bad(self) -> bool:
        bad = self._left > 0 and self._lot.random() < self._share
        self._left -= bad
        return bad


class Patchy(ScriptedEngine):
    """Answers by seed alone; fails in each of the ways that an engine may."""

    def __init__(self, weather: Weather) -> None:
        super().__init__(_answer, keeps_requests=False)
        self._weather = weather

    async def reply(self, request: Request) -> Event:
        for _ in range((request.sampling.seed or 0) % 3):
            await asyncio.sleep(0)
        if self._weather.is_bad():
            if (request.sampling.seed or 0) % 2:
                raise EngineError("the connection broke off", retryable=True)
            return BackendFailed(error="HTTP 503")
        return await super().reply(request)


class PatchyJudge:
    """Fails in each of the ways that a judge may."""

    def __init__(self, weather: Weather) -> None:
        self._weather = weather

    async def grade(self, item: GradeItem) -> Grade:
        await asyncio.sleep(0)
        if self._weather.is_bad():
            return Grade(correct=1.0, failed=True, error="HTTP 429")
        return Grade(correct=float(item.prediction == "red"))

    async def aclose(self) -> None:
        pass


def _answer(request: Request) -> ScriptLine:
    if named(request) in REFUSED:
        return BackendFailed(error="a content filter", retryable=False)
    return ("<answer>red</answer>", "<answer>blue</answer>", "")[(request.sampling.seed or 0) // 3 % 3]


def book(folder: Path, size: int) -> ShardBook[Labelled]:
    return ShardBook(folder, size=size, read=Labelled.from_dict, what="labels")


async def work(
    folder: Path, weather: Weather, *, size: int, window: int, kill_after: int | None, samples: Iterable[Sample]
) -> Path | None:
    """One try. With `kill_after`, the folder as it stood when that record was made; the rest of the try is void."""
    left: list[Path] = []
    num_records = 0

    def on_record() -> None:
        nonlocal num_records
        num_records += 1
        if num_records == kill_after:
            left.append(folder.with_name(f"{folder.name}-killed"))
            shutil.copytree(folder, left[0])

    # Few failures in a row are an outage here, so that many tries stop.
    rule = FailureRule(max_tries=2, max_in_a_row=4, num_recent=12)
    runner = runner_over(
        Patchy(weather),
        PatchyJudge(weather),
        limits=RunnerLimits(max_in_flight=window, failures=rule),
        has_succeeded=book(folder, size).num_found > 0,
    )
    series = Series(samples=samples, asks=SETTING.asks, record=SETTING.record, book=book(folder, size))
    await ask_open(runner, [series], total=len(SAMPLES), max_lost_ratio=0.0, on_record=on_record)
    return left[0] if left else None


def kept(folder: Path, size: int) -> dict[str, Labelled]:
    """What lies on the disk, by id."""
    found = book(folder, size)
    for place, one in enumerate(SAMPLES):
        found.claim(place, one.id)
    return {record.id: record for record in found.finished()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Labelled]:
    folder = tmp_path_factory.mktemp("undisturbed")
    asyncio.run(work(folder, Weather(0, 0, 0.0), size=5, window=4, kill_after=None, samples=SAMPLES))
    found = kept(folder, 5)
    assert len(found) == len(SAMPLES)
    assert {name for name, record in found.items() if record.error} == REFUSED
    assert len({(record.num_correct_quarter, record.num_correct_full) for record in found.values()}) > 3
    return found


@given(
    seed=st.integers(0, 2**32),
    num_failures=st.integers(0, 40),
    share=st.sampled_from([0.02, 0.2, 0.5, 1.0]),
    size=st.integers(1, 30),
    windows=st.lists(st.integers(1, 120), min_size=1, max_size=4),
    kills=st.lists(st.none() | st.integers(1, 23), max_size=4),
    reads_lazily=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_disturbed_run_ends_in_what_an_undisturbed_one_keeps(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: dict[str, Labelled],
    seed: int,
    num_failures: int,
    share: float,
    size: int,
    windows: list[int],
    kills: list[int | None],
    reads_lazily: bool,
) -> None:
    now: dict[str, Labelled] = {}
    folder, weather = tmp_path_factory.mktemp("run"), Weather(seed, num_failures, share)
    for number in range(60):  # each try that fails uses up failures, so there is an end
        before = kept(folder, size)
        window = windows[number % len(windows)]
        kill_after = kills[number] if number < len(kills) else None
        samples = iter(SAMPLES) if reads_lazily else SAMPLES
        try:
            one_try = partial(work, folder, weather, size=size, window=window, kill_after=kill_after, samples=samples)
            killed = asyncio.run(one_try())
        except (EngineError, JudgeError) as error:
            assert f"of {len(SAMPLES)} samples are open" in str(error)
            killed = None
            is_over = False
        else:
            is_over = killed is None
        folder = killed or folder
        now = kept(folder, size)
        assert now.items() <= undisturbed.items(), "a failure became a result"
        assert killed is not None or before.items() <= now.items(), "a result was lost"
        if is_over:
            break
    assert now == undisturbed
