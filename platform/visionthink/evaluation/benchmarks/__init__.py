"""Sets of questions that models are judged on: each a value, so that a further one is a file here and nothing else.

Rule: a benchmark says where its questions come from, how they are worded, how a reply is read and what it is worth. Who
is asked, in which order, and what is kept on disk is the business of `evaluation`, the same for all of them.
"""

from visionthink.evaluation.benchmarks.benchmark import Benchmark, BenchmarkJudge
from visionthink.evaluation.benchmarks.samples import benchmark_of

__all__ = ["Benchmark", "BenchmarkJudge", "benchmark_of"]
