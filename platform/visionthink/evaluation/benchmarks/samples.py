"""The benchmark that the data settings name: the picture world, or rows of a data set of one's own.

Rule: nothing is said here that is not in the settings; questions are asked as they stand and the judge scores them.
"""

from typing import Final

from visionthink.config import DataConfig, RunConfig
from visionthink.evaluation.benchmarks.benchmark import Benchmark
from visionthink.samples import WORLD, Say, TestSet, samples_to_evaluate


def samples_of_settings(config: RunConfig, say: Say) -> TestSet:
    """The held-out samples."""
    return samples_to_evaluate(config, say=say)


PICTURE_WORLD: Final = Benchmark(name="picture world", source=samples_of_settings)


def benchmark_of(config: DataConfig) -> Benchmark:
    """The benchmark that a run is evaluated on."""
    if config.source == WORLD:
        return PICTURE_WORLD
    return Benchmark(name=config.eval_source or config.source, source=samples_of_settings)
