"""Asks what is open of one or several series of samples, and keeps what comes of it.

Rule: what has its record is not asked for again, and no picture of it is decoded. All series share one window, so none
waits for the end of another. Whatever ends the work, what is done by then is kept.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeAlias

from visionthink.core.sample import Sample
from visionthink.episodes.runner import Ask, End, EpisodeRunner, Leftover, Lost, Work
from visionthink.episodes.shard import Kept, ShardBook
from visionthink.errors import EngineError, JudgeError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series(Generic[Kept]):
    """Samples, what is asked of each, and what is kept of it."""

    samples: Iterable[Sample]
    asks: Callable[[Sample], tuple[Ask, ...]]
    record: Callable[[Sample, End], Kept]
    book: ShardBook[Kept]


_Place: TypeAlias = tuple[Series[Kept], int]


async def ask_open(
    runner: EpisodeRunner,
    series: Iterable[Series[Kept]],
    *,
    total: int,
    max_lost_ratio: float,
    on_record: Callable[[], None],
) -> None:
    """Ask for every sample without a record, and keep one for each; `on_record` is told of each new one.

    Samples that stay open although others succeed are given up, and kept as lost, when they are no more than
    `max_lost_ratio` of `total`.

    Raises:
        EngineError, JudgeError: there is an outage, or samples stay open; the message says how many of `total`.
        DataError: a picture is bad and such are not skipped, or the files hold records of other samples.
    """
    every = tuple(series)
    num_done = 0

    def on_end(work: Work[_Place[Kept]], end: End) -> None:
        nonlocal num_done
        one, place = work.key
        one.book.keep(place, one.record(work.sample, end))
        num_done += 1
        on_record()

    num_before = sum(one.book.num_found for one in every)
    try:
        left = await runner.run(chain.from_iterable(map(_open_work, every)), on_end)
        _give_up(left, on_end, total=total, max_lost_ratio=max_lost_ratio)
    except (EngineError, JudgeError) as error:
        num_open = max(0, total - num_before - num_done)
        text = f"{error}. {num_open} of {total} samples are open; run the same command again to go on with them"
        raise type(error)(text, retryable=error.retryable) from error
    finally:
        for one in every:
            one.book.flush()


def _open_work(series: Series[Kept]) -> Iterator[Work[_Place[Kept]]]:
    for place, sample in enumerate(series.samples):
        if not series.book.claim(place, sample.id):
            yield Work(key=(series, place), sample=sample, asks=series.asks(sample))


def _give_up(
    left: Leftover[_Place[Kept]],
    on_end: Callable[[Work[_Place[Kept]], End], None],
    *,
    total: int,
    max_lost_ratio: float,
) -> None:
    if not left.open:
        return
    work, error = left.open[0]
    if len(left.open) > max_lost_ratio * total:
        raise EngineError(
            f"{len(left.open)} could not be had while others could, the first being {work.sample.id}: {error}. To end "
            "without a few such, set model.max_lost_ratio",
            retryable=True,
        )
    for work, error in left.open:
        on_end(work, Lost(error=error))
