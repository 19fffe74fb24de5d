"""What is asked of a model in an evaluation: the same samples by every row, greedily.

Rule: answers are kept shard by shard, a folder a row. What is there is not asked again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.engines import Sampling
from visionthink.episodes.asking import Series
from visionthink.episodes.prompting import ViewPolicy
from visionthink.episodes.runner import Ask
from visionthink.episodes.shard import ShardBook
from visionthink.evaluation.answer import Answer, to_answer
from visionthink.report.record import Row

TEST: Final = "test"
HELD_OUT: Final = "held-out"
"""The two sets of samples, as their shards are named."""
POLICIES: Final[Mapping[Row, ViewPolicy]] = {
    Row.ALWAYS_LOW: "always_low",
    Row.ALWAYS_HIGH: "always_high",
    Row.BASE: "auto",
    Row.TRAINED: "auto",
}
"""Who chooses the view in a row."""
_GREEDY: Final = 0.0


def ask_of(row: Row, config: RunConfig) -> Ask:
    """How a row asks: the likeliest token each time."""
    sampling = Sampling(temperature=_GREEDY, max_tokens=config.episode.max_reply_tokens)
    return Ask(policy=POLICIES[row], sampling=sampling)


def series_of(row: Row, name: str, samples: Sequence[Sample], *, folder: Path, config: RunConfig) -> Series[Answer]:
    """The samples of the set `name`, asked by `row`; answers are kept below `folder`."""
    ask = ask_of(row, config)
    return Series(
        samples=samples,
        asks=lambda sample: (ask,),
        record=to_answer,
        book=ShardBook(
            folder / row.value,
            size=config.evaluate.shard_size,
            read=Answer.from_dict,
            what="answers",
            prefix=f"{name}-",
        ),
    )
