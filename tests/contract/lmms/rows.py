"""Small sets in the columns of the published ones, of pictures and questions that the tiny model knows."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import datasets
from PIL import Image

from visionthink.core.sample import Sample
from visionthink.datasets.world import TRAINED_FAMILIES, generate

Row = Mapping[str, Any]

NUM_ROWS: Final = 8
SPLIT: Final = {"docvqa": "validation"}
"""Of the published set, where it is not `test`."""


def _chartqa(index: int, sample: Sample) -> Row:
    kind = "human_test" if index % 2 else "augmented_test"
    return {"type": kind, "question": sample.question, "answer": sample.answer}


def _docvqa(index: int, sample: Sample) -> Row:
    return {"questionId": str(index), "question": sample.question, "answers": [sample.answer, "else"], "docId": 1}


def _ocrbench(index: int, sample: Sample) -> Row:
    kinds = ("Regular Text Recognition", "Digit String Recognition")
    return {
        "dataset": "IIIT5K",
        "question": sample.question,
        "answer": [sample.answer],
        "question_type": kinds[index % 2],
    }


def _realworldqa(index: int, sample: Sample) -> Row:
    return {"question": sample.question, "answer": sample.answer, "image_path": f"{index}.webp"}


def _pope(index: int, sample: Sample) -> Row:
    return {
        "id": str(index),
        "question_id": str(index + 1),
        "question": f"Is there a snowboard? {sample.question}",
        "answer": "yes" if index % 2 else "no",
        "image_source": "COCO",
        "category": "random",
    }


def _mme(index: int, sample: Sample) -> Row:
    return {
        "question_id": f"{index // 2:04}.png",
        "question": f"{sample.question} Please answer yes or no.",
        "answer": "Yes" if index % 2 else "No",
        "category": "count" if index % 4 < 2 else "code_reasoning",
    }


MAKERS: Final[Mapping[str, Callable[[int, Sample], Row]]] = {
    "chartqa": _chartqa,
    "docvqa": _docvqa,
    "mme": _mme,
    "ocrbench": _ocrbench,
    "pope": _pope,
    "realworldqa": _realworldqa,
}
"""By benchmark."""


def write_set(name: str, path: Path, *, seed: int) -> None:
    """A parquet file as the hub keeps it: pictures as bytes, with the marks by which they are decoded."""
    samples = list(generate("test", NUM_ROWS, seed=seed, families=TRAINED_FAMILIES))
    rows = [{**MAKERS[name](index, sample), "image": _jpeg(sample)} for index, sample in enumerate(samples)]
    _dataset(rows).to_parquet(path)


def _dataset(rows: Sequence[Row]) -> Any:
    return datasets.Dataset.from_list([*rows]).cast_column("image", datasets.Image())


def _jpeg(sample: Sample) -> Mapping[str, object]:
    """As the sets have them: a lossy picture under a name."""
    written = io.BytesIO()
    Image.open(io.BytesIO(sample.picture)).save(written, "JPEG", quality=95)
    return {"bytes": written.getvalue(), "path": f"{sample.id}.jpg"}
