"""Answers to somebody else's questions about pictures, through the same episodes as everywhere.

Rule: whoever asked scores the answers, so no judge is asked. A failure is not an answer: what could not be had ends
everything with an error that says so, for a score would count it as wrong. Nothing here knows lmms-eval.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from PIL import Image

from visionthink.core.episode import Finish, Outcome
from visionthink.core.sample import Sample
from visionthink.engines import Engine, Sampling
from visionthink.episodes.opening import open_runner
from visionthink.episodes.plain import plain_messages, run_plain
from visionthink.episodes.runner import Ask, Done, End, EpisodeRunner, Work
from visionthink.episodes.window import run_window
from visionthink.errors import ConfigError, EngineError
from visionthink.judges import Grade, GradeItem
from visionthink.lmms.argument import Arguments
from visionthink.picture import upright

_SEED: Final = 0
"""Of answers that are drawn; each has its own place among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked."""

    name: str
    """In errors, and the session of its requests."""
    text: str
    pictures: Callable[[], Sequence[object]]
    """Makes what is shown beside it, when its turn comes; one picture or none can be answered."""
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a question came to."""

    text: str
    """The answer; empty where the model gave none."""
    outcome: str
    num_turns: int
    num_views_asked: int
    visual_tokens: int
    num_prompt_tokens: int
    num_reply_tokens: int
    latency_s: float
    """Seconds that the model took, all turns together."""


class _Unjudged:
    """The judge of answers that somebody else scores."""

    async def grade(self, item: GradeItem) -> Grade:
        """No verdict, told as one that is never read."""
        return Grade(correct=0.0)

    async def aclose(self) -> None:
        """Nothing to give back."""


async def answer(
    questions: Sequence[Question], arguments: Arguments, engine: Engine, *, on_reply: Callable[[], None]
) -> list[Reply]:
    """The replies, in the order of the questions; `on_reply` is called for each. Closes `engine`.

    Raises:
        ConfigError: a question shows something else than one picture.
        EngineError: an outage, or answers that could not be had.
    """
    found: list[Reply | None] = [None] * len(questions)
    errors: dict[int, str] = {}

    def keep(index: int, end: Finish | str) -> None:
        if isinstance(end, str):
            errors[index] = end
        else:
            found[index] = _reply(end)
        on_reply()

    def on_end(work: Work[int], end: End) -> None:
        keep(work.key, end.episodes[0].finish if isinstance(end, Done) else end.error)

    plain: list[int] = []
    async with open_runner(engine, _Unjudged(), arguments.config) as runner:
        left = await runner.run(_pictured(questions, arguments, plain), on_end)
        errors |= {work.key: error for work, error in left.open}
        await _ask_plain([(index, questions[index]) for index in plain], arguments, runner, engine, keep)
    _refuse_lost(errors, questions)
    return [reply for reply in found if reply is not None]


def _pictured(questions: Sequence[Question], arguments: Arguments, plain: list[int]) -> Iterator[Work[int]]:
    """The questions about a picture, each opened when its turn comes; the others' places are put into `plain`."""
    for index, question in enumerate(questions):
        picture = _picture(question)
        if picture is None:
            plain.append(index)
            continue
        sample = Sample(
            id=question.name,
            question=question.text,
            answer="",
            family="",
            needs_high_res=None,
            source="",
            picture=b"",
        )
        ask = Ask(policy=arguments.policy, sampling=_sampling(question, arguments), place=(index,))
        yield Work(key=index, sample=sample, asks=(ask,), picture=picture)


def _picture(question: Question) -> Image.Image | None:
    """The one picture that a question shows; None where it shows none."""
    shown = question.pictures()
    if not shown:
        return None
    if len(shown) > 1:
        raise ConfigError(
            f"{question.name} shows {len(shown)} pictures, and an evaluation asks about one at a time; leave this task "
            "out, or ask a model of lmms-eval's own that takes several"
        )
    if not isinstance(shown[0], Image.Image):
        raise ConfigError(
            f"{question.name} shows a {type(shown[0]).__name__}, and an episode looks at a picture; leave tasks with "
            "videos and sounds out"
        )
    return upright(shown[0], name=question.name)


def _sampling(question: Question, arguments: Arguments) -> Sampling:
    return Sampling(
        temperature=question.temperature,
        top_p=question.top_p,
        max_tokens=arguments.config.episode.max_reply_tokens,
        seed=_SEED if question.temperature else None,
    )


async def _ask_plain(
    asked: Sequence[tuple[int, Question]],
    arguments: Arguments,
    runner: EpisodeRunner,
    engine: Engine,
    keep: Callable[[int, Finish | str], None],
) -> None:
    """Ask the questions without a picture, one plain turn each."""

    async def ask(index: int, question: Question) -> None:
        messages = plain_messages(runner.prompting.direct_protocol, question.text)
        finish = await run_plain(engine, messages, _sampling(question, arguments), session=question.name)
        is_lost = finish.outcome in (Outcome.FAILED, Outcome.NO_ROOM)
        keep(index, str(finish.error) if is_lost else finish)

    await run_window(asked, lambda item: [partial(ask, *item)], size=arguments.config.model.max_in_flight)


def _refuse_lost(errors: dict[int, str], questions: Sequence[Question]) -> None:
    if not errors:
        return
    first = min(errors)
    raise EngineError(
        f"{len(errors)} of {len(questions)} questions have no answer, the first being {questions[first].name}: "
        f"{errors[first]}. With reply_cache=FOLDER among the model's arguments a next try asks for these alone",
        retryable=True,
    )


def _reply(finish: Finish) -> Reply:
    trace = finish.trace
    return Reply(
        text=finish.answer or "",
        outcome=finish.outcome.value,
        num_turns=len(trace.turns),
        num_views_asked=trace.num_views_asked,
        visual_tokens=trace.visual_tokens,
        num_prompt_tokens=trace.num_prompt_tokens,
        num_reply_tokens=trace.num_reply_tokens,
        latency_s=trace.latency_s,
    )
