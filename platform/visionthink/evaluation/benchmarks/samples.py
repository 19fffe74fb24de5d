"""The benchmark that the settings name: a public one, the picture world, or rows of a data set of one's own.

Rule: nothing is decided here that is not in the settings. Rows of one's own are asked about as they stand, and the
judge scores them.
"""

from typing import Final

from visionthink.config import RunConfig
from visionthink.evaluation.benchmarks.benchmark import Benchmark
from visionthink.evaluation.benchmarks.public import PUBLIC
from visionthink.samples import WORLD

PICTURE_WORLD: Final = Benchmark(name="picture world")


def benchmark_of(config: RunConfig) -> Benchmark:
    """The benchmark that a run is evaluated on."""
    data, name = config.data, config.evaluate.benchmark
    if name is not None:
        return PUBLIC[name]
    if data.source == WORLD:
        return PICTURE_WORLD
    return Benchmark(name=data.eval_source or data.source)
