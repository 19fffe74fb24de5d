"""The columns of public benchmarks, as their authors publish them on the hub.

Rule: one entry a benchmark, by the name that `evaluate.benchmark` takes; a download can be read as it is.
"""

from collections.abc import Mapping
from typing import Final

from visionthink.datasets.schema import OURS, Schema


def _named(**names: str) -> Schema:
    """The schema of a set: our columns, and what it calls them."""
    required = {names[ours]: meaning for ours, meaning in OURS.required.items()}
    return Schema(
        required=required, optional=tuple(name for name in names.values() if name not in required), names=names
    )


PUBLISHED: Final[Mapping[str, Schema]] = {
    # lmms-lab/ChartQA, split test
    "chartqa": _named(problem="question", images="image", original_answer="answer", family="type"),
    # lmms-lab/DocVQA, configuration DocVQA, split validation
    "docvqa": _named(problem="question", images="image", original_answer="answers", doc_id="questionId"),
    # lmms-lab/MME, split test
    "mme": _named(
        problem="question", images="image", original_answer="answer", doc_id="question_id", family="category"
    ),
    # echo840/OCRBench, split test
    "ocrbench": _named(problem="question", images="image", original_answer="answer", family="question_type"),
    # lmms-lab/POPE, split test
    "pope": _named(problem="question", images="image", original_answer="answer", doc_id="id", family="category"),
    # lmms-lab/RealWorldQA, split test
    "realworldqa": _named(problem="question", images="image", original_answer="answer"),
}
