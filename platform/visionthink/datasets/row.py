"""One row of a data set, whatever file it came out of, as a Sample.

Rule: the columns have one meaning in every format, written down here; a format only finds the rows. A row that cannot
be used raises DataError naming itself, so that a reader may skip it; a disk or server that fails raises StorageError,
which must stop the reader: the row was fine.

The columns are those of the published VisionThink sets (fact sheet 3.3) and two of ours, `family` and `needs_high_res`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from visionthink.core.message import IMAGE_MARKER
from visionthink.core.sample import Sample
from visionthink.errors import DataError, UserError
from visionthink.storage import NotFoundError, Reader, open_store

REQUIRED: Final = {"problem": "the question", "images": "the picture", "original_answer": "the right answer"}
OPTIONAL: Final = ("doc_id", "data_source", "family", "needs_high_res", "info")

_NEEDS_HIGH_RES: Final = {"open_source_require_high": True, "open_source_no_require_high": False}
"""What the published sets say in `data_source`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The columns of one row, or why they could not be read."""

    name: str
    """What errors call it: "row 17 of train.parquet", counted from 0, or "line 18 of train.jsonl", from 1."""
    default_id: str
    """Its id where it has no `doc_id`: "train.parquet:17"."""
    values: Mapping[str, object]
    problem: str | None = None
    """Why there are no values: a line that is no JSON object."""


class Rows(Protocol):
    """The rows of an opened data set. Its columns were checked when it was opened; it can be read again and again."""

    @property
    def name(self) -> str:
        """What errors call the whole."""
        ...

    @property
    def num_rows(self) -> int | None:
        """How many rows there are; None when only reading tells."""
        ...

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in their order, few of them in memory at a time."""
        ...


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """Where pictures lie that a row names by path: below a store, or at an s3:// URI of their own."""

    store: Reader
    _buckets: dict[str, Reader] = field(default_factory=dict, repr=False, compare=False)

    def read(self, path: str) -> bytes:
        """Return the encoded picture.

        Raises:
            UserError: the path is absolute, reaches upwards, or there is no such picture.
            StorageError: the store failed.
        """
        store, key = self._located(path)
        try:
            return store.read(key)
        except NotFoundError as error:
            raise DataError(f"there is no picture {key!r} in {store.uri}; add it or drop the row") from error

    def _located(self, path: str) -> tuple[Reader, str]:
        if not path.startswith("s3://"):
            return self.store, path
        bucket, _, key = path.removeprefix("s3://").partition("/")
        if bucket not in self._buckets:
            self._buckets[bucket] = open_store(f"s3://{bucket}")
        return self._buckets[bucket], key


def check_columns(found: Iterable[str], place: str) -> None:
    """Refuse a data set that lacks a required column.

    Raises:
        DataError: naming the column, those that are there, and what to do.
    """
    names = list(found)
    for column, meaning in REQUIRED.items():
        if column not in names:
            raise DataError(
                f"{place}: column {column!r} is missing; found {', '.join(names) or 'none'}. "
                f"Rename the column that holds {meaning} to {column!r}"
            )


def to_sample(row: Row, pictures: PictureFolder) -> Sample:
    """Read one row. The picture is fetched, not decoded.

    A marker "<image>" at the start of the question is taken off, with one blank or line break after it: there the
    picture stands anyway. A marker elsewhere stays, since it says where the picture belongs.

    Raises:
        DataError: a value is missing or of the wrong kind, or the picture is not there.
        StorageError: the store of the pictures failed.
    """
    try:
        if row.problem is not None:
            raise DataError(row.problem)
        source = _text(row, "data_source") or row.default_id.rpartition(":")[0]
        return Sample(
            id=_text(row, "doc_id") or row.default_id,
            question=_question(row),
            answer=_required_text(row, "original_answer"),
            family=_text(row, "family") or source,
            needs_high_res=_needs_high_res(row, source),
            source=source,
            picture=_picture(row, pictures),
        )
    except UserError as error:
        raise DataError(f"{row.name}: {error}") from error


def problem_of(question: str) -> str:
    """Return the column `problem` of a question: the inverse of what `to_sample` does to it."""
    return question if IMAGE_MARKER in question else f"{IMAGE_MARKER}\n{question}"


def _question(row: Row) -> str:
    problem = _required_text(row, "problem")
    if problem.count(IMAGE_MARKER) > 1:
        raise DataError(
            f"column 'problem' holds {problem.count(IMAGE_MARKER)} markers {IMAGE_MARKER}, but a row has one picture; "
            "keep one marker"
        )
    if not problem.startswith(IMAGE_MARKER):
        return problem
    question = problem.removeprefix(IMAGE_MARKER)
    question = question[1:] if question[:1] in ("\n", " ") else question
    if not question.strip():
        raise DataError(f"column 'problem' holds nothing but {IMAGE_MARKER}; drop the row")
    return question


def _required_text(row: Row, column: str) -> str:
    text = _text(row, column)
    if text is None or not text.strip():
        raise DataError(f"column {column!r} ({REQUIRED[column]}) is empty; fill it or drop the row")
    return text


def _text(row: Row, column: str) -> str | None:
    """Return a text; numbers, which many sets keep as answers and ids, become one."""
    value = row.values.get(column)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"column {column!r} holds half a character: {value!r}; mend the text") from error
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"column {column!r} must hold a text, got {value!r}")


def _needs_high_res(row: Row, source: str) -> bool | None:
    """Return what the row knows of itself: our column, else the name of the published set, else its `use_tool`."""
    info = row.values.get("info")
    use_tool = info.get("use_tool") if isinstance(info, Mapping) else None
    for value in (row.values.get("needs_high_res"), _NEEDS_HIGH_RES.get(source), use_tool):
        if isinstance(value, bool):
            return value
        if value is not None:
            raise DataError(f"'needs_high_res' and 'info.use_tool' must be true, false or null, got {value!r}")
    return None


def _picture(row: Row, pictures: PictureFolder) -> bytes:
    """Return the bytes of the one picture, which a row holds itself or names by path."""
    value = row.values.get("images")
    if isinstance(value, list):
        if len(value) != 1:
            raise DataError(f"column 'images' holds a list of {len(value)} pictures; a row has one")
        value = value[0]
    data, path = (value.get("bytes"), value.get("path")) if isinstance(value, Mapping) else (value, value)
    if isinstance(data, bytes) and data:
        return data
    if isinstance(path, str) and path:
        return pictures.read(path)
    raise DataError("column 'images' holds neither bytes nor a path; fill it or drop the row")
