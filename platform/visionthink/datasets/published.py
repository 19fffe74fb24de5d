"""Public benchmarks as their authors publish them: where on the hub they are, and what their columns mean.

Rule: one entry a benchmark, by the name that `evaluate.benchmark` takes; a download can be read as it is. Addresses,
splits and columns are those that lmms-eval 0.7.3 reads (`lmms_eval/tasks/<name>`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from visionthink.core.excerpt import shown
from visionthink.core.message import IMAGE_MARKER
from visionthink.datasets.row import NotAskableError
from visionthink.datasets.schema import OURS, Cells, Schema, as_it_is, text_in
from visionthink.datasets.value import listed_texts_of, text_of
from visionthink.errors import DataError

_NUM_PICTURES: Final = 7
_PICTURES: Final = tuple(f"image_{number}" for number in range(1, _NUM_PICTURES + 1))
"""The columns of MMMU, most of them empty."""
_SHOWN: Final = re.compile(r"<image (\d+)>")

Details = Mapping[str, Callable[[object, str], tuple[str, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A public set."""

    hub_id: str
    split: str
    schema: Schema
    subset: str | None = None
    """What the hub calls a configuration: one of several sets in a repository."""


def _named(
    details: Details | None = None,
    *,
    optional: tuple[str, ...] = (),
    made: tuple[str, ...] = (),
    completed: Callable[[Cells], Cells] = as_it_is,
    **names: str,
) -> Schema:
    """The schema of a set: our columns and what it calls them, and details, which are required unless `optional`.

    `made` are names that the table lacks and `completed` makes.
    """
    details = details or {}
    meanings = {names[ours]: meaning for ours, meaning in OURS.required.items() if names[ours] not in made}
    meanings |= {name: f"the {name} of a question" for name in details if name not in optional}
    others = [name for name in (*names.values(), *optional) if name not in meanings and name not in made]
    return Schema(
        required={name.partition(".")[0]: meaning for name, meaning in meanings.items()},
        optional=tuple(others),
        names=names,
        details=details,
        completed=completed,
    )


def _with_one_picture(cells: Cells) -> Cells:
    """A row of MMMU with the one picture that its question shows as its first, and its place marked in the question.

    Raises:
        NotAskableError: the question shows several pictures, or none.
    """
    question, options = (text_of(cells.get(name), name) or "" for name in ("question", "options"))
    shown = sorted({int(number) for number in _SHOWN.findall(f"{question}\n{options}")})
    if len(shown) != 1:
        raise NotAskableError(f"its question shows {len(shown)} pictures, and an episode has one")
    marker = f"<image {shown[0]}>"
    return {
        **cells,
        "question": question.replace(marker, IMAGE_MARKER, 1),
        _PICTURES[0]: cells.get(f"image_{shown[0]}"),
    }


def _with_subject(cells: Cells) -> Cells:
    """The subject, which stands in the id alone: `validation_Art_Theory_12`."""
    found = re.fullmatch(r"[^_]+_(.+)_\d+", text_of(cells.get("id"), "id") or "")
    return {**_with_one_picture(cells), "subject": found.group(1) if found else None}


def _with_question(cells: Cells) -> Cells:
    """A question that is written in the picture."""
    return {**cells, "question": "Answer the question in the picture."}


def _whole_number(value: object, column: str) -> tuple[str, ...]:
    """A whole number as a text, also one that is stored as 2.0; nothing where the cell is empty."""
    text = text_of(value, column)
    if text is not None and not text.isdecimal():
        raise DataError(f"column {column!r} must hold a whole number, got {shown(value)}")
    return () if text is None else (text,)


PUBLISHED: Final[Mapping[str, Published]] = {
    "chartqa": Published(
        hub_id="lmms-lab-encoder/ChartQA",
        split="test",
        schema=_named(problem="question", images="image", original_answer="answer", family="type"),
    ),
    "docvqa": Published(
        hub_id="lmms-lab-encoder/DocVQA",
        subset="DocVQA",
        split="validation",
        schema=_named(problem="question", images="image", original_answer="answers", doc_id="questionId"),
    ),
    "mathverse": Published(
        hub_id="CaraJ/MathVerse-lmmseval",
        subset="testmini",
        split="testmini",
        schema=_named(
            {"question_for_eval": text_in},
            problem="query_wo",
            images="image",
            original_answer="answer",
            doc_id="sample_index",
            family="problem_version",
        ),
    ),
    "mathvista": Published(
        hub_id="AI4Math/MathVista",
        split="testmini",
        schema=_named(
            {
                "query": text_in,
                "question_type": text_in,
                "answer_type": text_in,
                "choices": listed_texts_of,
                "precision": _whole_number,
                "unit": text_in,
            },
            optional=("choices", "precision", "unit"),
            problem="question",
            images="decoded_image",
            original_answer="answer",
            doc_id="pid",
            family="metadata.task",
        ),
    ),
    "mmbench": Published(
        hub_id="lmms-lab-encoder/MMBench",
        subset="en",
        split="dev",
        schema=_named(
            {name: text_in for name in ("hint", "A", "B", "C", "D", "E")},
            optional=("hint", "C", "D", "E"),
            problem="question",
            images="image",
            original_answer="answer",
            doc_id="index",
            family="L2-category",
        ),
    ),
    "mme": Published(
        hub_id="lmms-lab-encoder/MME",
        split="test",
        schema=_named(
            problem="question", images="image", original_answer="answer", doc_id="question_id", family="category"
        ),
    ),
    "mmmu": Published(
        hub_id="lmms-lab-encoder/MMMU",
        split="validation",
        schema=_named(
            {"options": listed_texts_of, "question_type": text_in},
            optional=_PICTURES[1:],
            made=("subject",),
            completed=_with_subject,
            problem="question",
            images=_PICTURES[0],
            original_answer="answer",
            doc_id="id",
            family="subject",
        ),
    ),
    "mmmu_pro": Published(
        hub_id="MMMU/MMMU_Pro",
        subset="standard (10 options)",
        split="test",
        schema=_named(
            {"options": listed_texts_of},
            optional=_PICTURES[1:],
            completed=_with_one_picture,
            problem="question",
            images=_PICTURES[0],
            original_answer="answer",
            doc_id="id",
            family="subject",
        ),
    ),
    "mmmu_pro_vision": Published(
        hub_id="MMMU/MMMU_Pro",
        subset="vision",
        split="test",
        schema=_named(
            made=("question",),
            completed=_with_question,
            problem="question",
            images="image",
            original_answer="answer",
            doc_id="id",
            family="subject",
        ),
    ),
    "mmvet": Published(
        hub_id="lmms-lab-encoder/MMVet",
        split="test",
        schema=_named(
            problem="question", images="image", original_answer="answer", doc_id="question_id", family="capability"
        ),
    ),
    "ocrbench": Published(
        hub_id="echo840/OCRBench",
        split="test",
        schema=_named(problem="question", images="image", original_answer="answer", family="question_type"),
    ),
    "pope": Published(
        hub_id="lmms-lab-encoder/POPE",
        split="test",
        schema=_named(problem="question", images="image", original_answer="answer", doc_id="id", family="category"),
    ),
    "realworldqa": Published(
        hub_id="lmms-lab-encoder/RealWorldQA",
        split="test",
        schema=_named(problem="question", images="image", original_answer="answer"),
    ),
    "vstar": Published(
        hub_id="lmms-lab-encoder/vstar-bench",
        split="test",
        schema=_named(problem="text", images="image", original_answer="label", doc_id="question_id", family="category"),
    ),
}
