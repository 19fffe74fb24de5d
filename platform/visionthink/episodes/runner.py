"""Episodes, answered and graded: one at a time, or as many as there are samples.

Rule: this is the one door to engines and judges. A sample is done when every episode that was wanted of it has been
held and graded. Until then it is *open*: an engine or judge that fails is asked again within bounds, and when failures
look like an outage everything stops, so that a later try asks only for what is open. What was refused for a fault of
its own, or could not be had in the end, is *lost*: it is named, counted by whoever wanted it, and never a result.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, TypeAlias, TypeVar

from PIL import Image

from visionthink.core.episode import Finish, Outcome, Trace
from visionthink.core.first_look import FirstLookMode
from visionthink.core.geometry import Size
from visionthink.core.sample import Sample
from visionthink.engines.engine import Engine, Sampling
from visionthink.episodes.driver import run_episode
from visionthink.episodes.outage import FailureRule, FailureWatch
from visionthink.episodes.prompting import Prompting, ViewPolicy
from visionthink.episodes.window import run_window
from visionthink.errors import BackendError, DataError, EngineError, JudgeError
from visionthink.judges import Grade, GradeItem, Judge

Key = TypeVar("Key")

_NO_END: Final = "the episode did not end within {:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One episode that is wanted of a sample."""

    policy: ViewPolicy
    sampling: Sampling
    place: tuple[int, ...] = ()
    """Tells apart what shares one seed; see `run_episode`."""
    question: str | None = None
    """What the model is asked in place of the sample's own question, which the judge is told in any case."""
    first_look: FirstLookMode = "off"
    """Whether the episode may begin with the full view, under the policy `auto`."""
    region: str | None = None
    """A named region that is shown alone, whatever the policy: one turn without a tool."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work(Generic[Key]):
    """A sample and the episodes that are wanted of it."""

    key: Key
    """Whatever its owner knows it by."""
    sample: Sample
    asks: tuple[Ask, ...]
    picture: Image.Image | None = None
    """The decoded picture; None has it decoded when the first episode begins."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GradedEpisode:
    """An episode that ended with something about the model, and what the judge says of it."""

    finish: Finish
    grade: Grade
    """Failed only when the judge looked and cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Done:
    """What became of a sample: its episodes, in the order of the asks."""

    size: Size
    """Of the upright picture."""
    episodes: tuple[GradedEpisode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A sample that has no result."""

    error: str


End: TypeAlias = Done | Lost


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leftover(Generic[Key]):
    """What is still open when everything else is done."""

    open: tuple[tuple[Work[Key], str], ...] = ()
    """Samples without an end, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerLimits:
    """What a runner may hold and wait for."""

    max_in_flight: int = 256
    """Episodes at work, and so pictures in memory."""
    timeout_s: float = 1800.0
    """Of one try of one episode, with all that it waits for."""
    skips_bad_pictures: bool = False
    """Whether a picture that cannot be decoded makes its sample lost, instead of ending the work."""
    failures: FailureRule = field(default_factory=FailureRule)


class EpisodeRunner:
    """Holds and grades episodes with one engine and one judge."""

    def __init__(
        self,
        engine: Engine,
        judge: Judge,
        prompting: Prompting,
        *,
        decode: Callable[[Sample], Image.Image],
        limits: RunnerLimits | None = None,
        has_succeeded: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Ask `engine` as `prompting` says. `has_succeeded` tells that an earlier try got results from both."""
        self._engine = engine
        self._judge = judge
        self._prompting = prompting
        self._decode = decode
        self._limits = limits or RunnerLimits()
        self._sleep = sleep
        self._replies = FailureWatch(self._limits.failures, has_succeeded=has_succeeded)
        self._grades = FailureWatch(self._limits.failures, has_succeeded=has_succeeded)

    @property
    def prompting(self) -> Prompting:
        """What questions become."""
        return self._prompting

    async def run(self, work: Iterable[Work[Key]], on_end: Callable[[Work[Key], End], None]) -> Leftover[Key]:
        """Call `on_end` once for each sample that is done or lost, as soon as it is; say what is left open.

        `work` is read only as fast as it is done. `on_end` runs between two steps of the event loop: let it be quick.

        Raises:
            EngineError, JudgeError: an outage, or nothing can be had before somebody mends something.
            DataError: a picture cannot be decoded, or no view of it is possible, and such are not skipped.
        """
        batch: _Batch[Key] = _Batch(on_end)

        def start(item: Work[Key]) -> list[Callable[[], Awaitable[None]]]:
            opened = _Open(item, batch)
            return [partial(self._take, opened, index) for index in range(len(item.asks))]

        await run_window(work, start, size=self._limits.max_in_flight)
        batch.end()
        return Leftover(open=tuple(batch.open))

    async def episode(self, sample: Sample, ask: Ask) -> Finish:
        """One episode, ungraded, without a second try.

        Raises:
            EngineError: it failed.
            DataError: the picture cannot be decoded, or no view of it is possible.
        """
        picture = await asyncio.to_thread(self._decode, sample)
        finish = await self._held(sample, picture, ask)
        if finish.outcome is Outcome.FAILED:
            raise EngineError(f"{sample.id}: {finish.error}", retryable=finish.retryable)
        return finish

    async def _take(self, item: "_Open[Key]", index: int) -> None:
        """Try until an episode of an item is graded, refused, or left open."""
        rule = self._limits.failures
        try:
            picture = await item.picture(self._decode)
            for number in range(rule.max_tries):
                if number:
                    await self._sleep(rule.retry_delay_s * 2 ** (number - 1))
                if await self._is_settled(item, index, picture):
                    break
        except DataError as error:
            if not self._limits.skips_bad_pictures:
                raise
            item.end_as(Lost(error=str(error)))
        item.leave()
        item.batch.release()

    async def _is_settled(self, item: "_Open[Key]", index: int, picture: Image.Image) -> bool:
        """One try; whether another one can change anything is told by False."""
        if item.is_lost:  # by another of its episodes
            return True
        finish = item.finishes[index]
        if finish is None:
            finish = await self._held(item.work.sample, picture, item.work.asks[index])
            if finish.outcome is Outcome.FAILED:
                return self._count_failure(item, str(finish.error), retryable=finish.retryable)
            if finish.outcome is Outcome.NO_ROOM and not finish.trace.turns:
                return self._count_failure(item, f"the question does not fit: {finish.error}", retryable=False)
            self._replies.succeeded()
            item.finishes[index] = finish
        return await self._is_graded(item, index, finish)

    async def _is_graded(self, item: "_Open[Key]", index: int, finish: Finish) -> bool:
        grade = await self._judge.grade(_grade_item(item.work.sample, finish))
        if grade.failed and (grade.retryable or not self._grades.has_succeeded):
            self._stop_on(self._grades, JudgeError, "grades", str(grade.error), "the judge works (judge.uri)")
        if grade.failed and grade.retryable:
            item.keep_open(f"the judge failed: {grade.error}")
            return False
        if grade.failed:
            item.wait_for(self._grades)  # a judge that can never tell is out of order
        elif grade.correct > 0 or (finish.answer or "").strip():  # a blank answer is wrong without a look
            self._grades.succeeded()
        item.episodes[index] = GradedEpisode(finish=finish, grade=grade)
        return True

    async def _held(self, sample: Sample, picture: Image.Image, ask: Ask) -> Finish:
        size = Size(width=picture.width, height=picture.height)
        try:
            question = sample.question if ask.question is None else ask.question
            spec = (
                self._prompting.spec(question, size, ask.policy, ask.first_look)
                if ask.region is None
                else self._prompting.region_spec(question, size, ask.region)
            )
            async with asyncio.timeout(self._limits.timeout_s):
                return await run_episode(self._engine, spec, picture, ask.sampling, place=ask.place, session=sample.id)
        except TimeoutError:
            return _failed(_NO_END.format(self._limits.timeout_s), retryable=True)
        except DataError as error:  # no view of it is possible: a sliver, say
            return _failed(str(error), retryable=False)
        except BackendError as error:
            if not error.retryable:
                raise
            return _failed(str(error), retryable=True)

    def _count_failure(self, item: "_Open[Key]", error: str, *, retryable: bool) -> bool:
        """Keep an item open, or lose it for a fault of its own; whether that is settled."""
        if retryable or not self._replies.has_succeeded:
            self._stop_on(self._replies, EngineError, "replies", error, "the engine works (model.engine)")
        if retryable:
            item.keep_open(error)
            return False
        item.end_as(Lost(error=error))
        item.wait_for(self._replies)  # while everything is refused, the fault is not the sample's
        return True

    def _stop_on(
        self, watch: FailureWatch, kind: type[EngineError | JudgeError], noun: str, error: str, what: str
    ) -> None:
        outage = watch.failed()
        if outage is not None:
            raise kind(f"of the {noun} asked for, {outage}, the last with: {error}. See that {what}", retryable=True)


class _Open(Generic[Key]):
    """An item at work."""

    def __init__(self, work: Work[Key], batch: "_Batch[Key]") -> None:
        self.work = work
        self.batch = batch
        self.finishes: list[Finish | None] = [None] * len(work.asks)
        self.episodes: list[GradedEpisode | None] = [None] * len(work.asks)
        self._num_left = len(work.asks)
        self._decoding: asyncio.Future[Image.Image] | None = None
        self._size: Size | None = None
        self._error: str | None = None
        self._lost: Lost | None = None
        self._waits_for: list[FailureWatch] = []

    async def picture(self, decode: Callable[[Sample], Image.Image]) -> Image.Image:
        """The decoded picture, which all episodes of the item share."""
        if self.work.picture is not None:
            found = self.work.picture
        else:
            if self._decoding is None:
                self._decoding = asyncio.ensure_future(asyncio.to_thread(decode, self.work.sample))
            found = await asyncio.shield(self._decoding)
        self._size = Size(width=found.width, height=found.height)
        return found

    @property
    def is_lost(self) -> bool:
        """Whether its end stands already."""
        return self._lost is not None

    def end_as(self, lost: Lost) -> None:
        """It can never be had; the first reason stands."""
        self._lost = self._lost or lost

    def keep_open(self, error: str) -> None:
        """A try failed; unless another one comes off, this is why the item is open."""
        self._error = error

    def wait_for(self, watch: FailureWatch) -> None:
        """Its end counts only if this backend gives a result to anybody."""
        self._waits_for.append(watch)

    def leave(self) -> None:
        """One of its episodes needs no more work; with the last one the item ends."""
        self._num_left -= 1
        if self._num_left:
            return
        self._decoding = None
        held = [episode for episode in self.episodes if episode is not None]
        if self._lost is None and len(held) < len(self.episodes):
            self.batch.open.append((self.work, str(self._error)))
            return
        assert self._lost is not None or self._size is not None, "a graded episode had a picture"
        end = self._lost or Done(size=self._size, episodes=tuple(held))  # type: ignore[arg-type]
        self.batch.waiting.append((self.work, end, tuple(self._waits_for)))


class _Batch(Generic[Key]):
    """The ends of the items of one `run`."""

    def __init__(self, on_end: Callable[[Work[Key], End], None]) -> None:
        self._on_end = on_end
        self.waiting: list[tuple[Work[Key], End, tuple[FailureWatch, ...]]] = []
        """Ends that are not told yet."""
        self.open: list[tuple[Work[Key], str]] = []
        """Items without an end, and why."""

    def release(self) -> None:
        """Tell the ends that wait for nothing any more."""
        ready = [entry for entry in self.waiting if all(watch.has_succeeded for watch in entry[2])]
        self.waiting = [entry for entry in self.waiting if not all(watch.has_succeeded for watch in entry[2])]
        for work, end, _ in ready:
            self._on_end(work, end)

    def end(self) -> None:
        """What waits still, waits for something that never worked."""
        for work, end, _ in self.waiting:
            self.open.append((work, end.error if isinstance(end, Lost) else "the judge could not tell"))


def _grade_item(sample: Sample, finish: Finish) -> GradeItem:
    return GradeItem(
        question=sample.question,
        answer=sample.answer,
        prediction=finish.answer,
        other_answers=sample.other_answers,
        family=sample.family,
        details=sample.details,
    )


def _failed(error: str, *, retryable: bool) -> Finish:
    trace = Trace(turns=(), views=(), messages=())
    return Finish(outcome=Outcome.FAILED, answer=None, trace=trace, error=error, retryable=retryable)
