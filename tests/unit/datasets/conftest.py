"""Rows and samples for the readers of data sets."""

import io
import random
from collections.abc import Mapping

from hypothesis import strategies as st
from PIL import Image

from visionthink.core.geometry import Box
from visionthink.core.sample import Sample

_WORDS = st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()))
_NAMES = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))


def png(seed: int = 0, width: int = 8, height: int = 6) -> bytes:
    """A picture that no other seed makes."""
    file = io.BytesIO()
    pixels = random.Random(seed).randbytes(width * height * 3)
    Image.frombytes("RGB", (width, height), pixels).save(file, format="PNG")
    return file.getvalue()


def row(number: int = 0, columns: Mapping[str, object] | None = None) -> dict[str, object]:
    """The columns of a good row, some of them replaced; a column of None is null."""
    good = {
        "problem": f"<image>\nWhat is number {number}?",
        "images": {"bytes": png(number), "path": None},
        "original_answer": f"answer {number}",
        "solution": f"answer {number}",
        "doc_id": f"doc-{number}",
        "data_source": "open_source_require_high",
        "info": {"use_tool": True, "tgt_width": 28, "tgt_height": 28},
    }
    return good | dict(columns or {})


def without(column: str, columns: Mapping[str, object]) -> dict[str, object]:
    """The columns but one."""
    return {name: value for name, value in columns.items() if name != column}


def sample(number: int = 0, picture: bytes | None = None) -> Sample:
    """What the good row says."""
    return Sample(
        id=f"doc-{number}",
        question=f"What is number {number}?",
        answer=f"answer {number}",
        family="open_source_require_high",
        needs_high_res=True,
        source="open_source_require_high",
        picture=png(number) if picture is None else picture,
    )


def canonical_questions() -> st.SearchStrategy[str]:
    """Questions as readers give them: without the marker, or with one that is not at the start."""
    bare = _WORDS.filter(lambda text: "<image>" not in text)
    return bare | st.tuples(bare, bare).map(lambda parts: f"{parts[0]}<image>{parts[1]}")


def _boxes() -> st.SearchStrategy[Box]:
    place, side = st.integers(0, 2**31), st.integers(1, 2**31)
    return st.builds(
        lambda left, top, width, height: Box(left=left, top=top, right=left + width, bottom=top + height),
        place,
        place,
        side,
        side,
    )


def samples() -> st.SearchStrategy[Sample]:
    """Samples of any text; their pictures are any bytes, since readers of our own files do not decode them."""
    return st.builds(
        Sample,
        id=_NAMES,
        question=canonical_questions(),
        answer=_WORDS,
        family=_NAMES,
        needs_high_res=st.none() | st.booleans(),
        source=_NAMES.filter(lambda name: not name.startswith("open_source")),
        picture=st.binary(min_size=1, max_size=64),
        other_answers=st.lists(_WORDS, max_size=3, unique=True).map(tuple),
        region=st.none() | _boxes(),
    ).filter(lambda sample: sample.answer not in sample.other_answers)
