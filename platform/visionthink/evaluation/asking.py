"""What is asked of a model in an evaluation: the same samples by every contender, greedily.

Rule: answers are kept shard by shard, a folder a contender. What is there is not asked again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from visionthink.core.sample import Sample
from visionthink.engines import Sampling
from visionthink.episodes.asking import Series
from visionthink.episodes.runner import Ask
from visionthink.episodes.shard import ShardBook
from visionthink.evaluation.answer import Answer, to_answer
from visionthink.evaluation.benchmarks import Benchmark
from visionthink.evaluation.contender import Contender
from visionthink.metrics import escaped

TEST: Final = "test"
HELD_OUT: Final = "held-out"
"""The two sets of samples, as their shards are named."""
_GREEDY: Final = 0.0


def ask_of(contender: Contender, benchmark: Benchmark, sample: Sample) -> Ask:
    """How a contender is asked about a sample: the likeliest token each time."""
    sampling = Sampling(temperature=_GREEDY, max_tokens=contender.episode.max_reply_tokens)
    return Ask(
        policy=contender.policy,
        sampling=sampling,
        question=benchmark.prompt(sample),
        first_look=contender.first_look,
    )


def series_of(
    contender: Contender, benchmark: Benchmark, name: str, samples: Sequence[Sample], *, folder: Path, shard_size: int
) -> Series[Answer]:
    """The samples of the set `name`, asked of a contender; answers are kept below `folder`."""
    return Series(
        samples=samples,
        asks=lambda sample: (ask_of(contender, benchmark, sample),),
        record=lambda sample, end: to_answer(sample, end, contender.visual_tokens),
        book=ShardBook(
            folder / escaped(contender.name),
            size=shard_size,
            read=Answer.from_dict,
            what="answers",
            prefix=f"{name}-",
        ),
    )
