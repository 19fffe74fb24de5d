"""One row of a data set, whatever file it came out of, as a Sample.

Rule: the columns have one meaning in every format, written down here; a format only finds the rows. A row that cannot
be used raises DataError naming itself, so that a reader may skip it; a disk or server that fails raises StorageError,
which must stop the reader: the row was fine.

The columns are those of `schema.OURS`; a table with other names has a schema of its own. What a cell means is decided
in value.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from visionthink.core.excerpt import excerpt, shown
from visionthink.core.message import IMAGE_MARKER
from visionthink.core.sample import Sample
from visionthink.datasets.inline import inline_picture
from visionthink.datasets.picture_folder import PictureFolder
from visionthink.datasets.schema import OURS, Schema
from visionthink.datasets.value import box_of, flag_of, is_missing, text_of, texts_of
from visionthink.errors import DataError, UserError

_NEEDS_HIGH_RES: Final = {"open_source_require_high": True, "open_source_no_require_high": False}
"""What the published sets say in `data_source`."""


class NotAskableError(DataError):
    """A sound row that no episode can be made of: it shows several pictures, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The columns of one row, or why they could not be read."""

    name: str
    """What errors call it: "row 17 of train.parquet", counted from 0, or "line 18 of train.jsonl", from 1."""
    default_id: str
    """Its id where it has no `doc_id`: "train.parquet:17"."""
    values: Mapping[str, object]
    folder: str = ""
    """Folder of its file below that of the data set: pictures may lie beside the file."""
    problem: str | None = None
    """Why there are no values: a line that is no JSON object."""
    schema: Schema = OURS
    """What the columns of `values` are called."""

    def cell(self, column: str) -> object:
        """What stands in one of our columns; None where there is nothing."""
        name = self.schema.name_of(column)
        return None if name is None else self.value(name)

    def value(self, name: str) -> object:
        """What the table has under a name of its own, which may be that of an entry of a column."""
        column, *entries = name.split(".")
        value = self.values.get(column)
        for entry in entries:
            if value is not None and not isinstance(value, Mapping):
                raise DataError(f"column {column!r} must hold a record with {entry!r}, got {shown(value)}")
            value = None if value is None else value.get(entry)
        return value

    def label(self, column: str) -> str:
        """What errors call one of our columns."""
        return self.schema.name_of(column) or column


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


def to_sample(row: Row, pictures: PictureFolder) -> Sample:
    """Read one row. The picture is fetched, not decoded.

    A marker "<image>" at the start of the question is taken off, with one blank or line break after it: there the
    picture stands anyway. A marker elsewhere stays, since it says where the picture belongs.

    Raises:
        NotAskableError: nothing is wrong with the row, but it does not show one picture.
        DataError: a value is missing or of the wrong kind, or the picture is not there.
        StorageError: the store of the pictures failed.
    """
    try:
        if row.problem is not None:
            raise DataError(row.problem)
        row = replace(row, values=row.schema.completed(row.values))
        source = text_of(row.cell("data_source"), row.label("data_source")) or row.default_id.rpartition(":")[0]
        question = _question(row)
        answer, *others = _answers(row)
        return Sample(
            id=text_of(row.cell("doc_id"), row.label("doc_id")) or row.default_id,
            question=question,
            answer=answer,
            family=text_of(row.cell("family"), row.label("family")) or source,
            needs_high_res=_needs_high_res(row, source),
            source=source,
            picture=_picture(row, pictures),
            other_answers=tuple(others),
            details={name: read(row.value(name), name) for name, read in row.schema.details.items()},
            region=box_of(row.cell("region"), row.label("region")),
            row=row.name,
        )
    except NotAskableError as error:
        raise NotAskableError(f"{excerpt(row.name, 80)}: {error}") from error
    except UserError as error:
        raise DataError(f"{excerpt(row.name, 80)}: {excerpt(str(error), 240)}") from error


def problem_of(question: str) -> str:
    """Return the column `problem` of a question: the inverse of what `to_sample` does to it."""
    return question if IMAGE_MARKER in question else f"{IMAGE_MARKER}\n{question}"


def _question(row: Row) -> str:
    problem = _required_text(row, "problem")
    if problem.count(IMAGE_MARKER) > 1:
        raise DataError(
            f"column {row.label('problem')!r} holds {problem.count(IMAGE_MARKER)} markers {IMAGE_MARKER}, but a row "
            "has one picture; keep one marker"
        )
    if not problem.startswith(IMAGE_MARKER):
        return problem
    question = problem.removeprefix(IMAGE_MARKER)
    question = question[1:] if question[:1] in ("\n", " ") else question
    if not question.strip():
        raise DataError(f"column {row.label('problem')!r} holds nothing but {IMAGE_MARKER}; drop the row")
    return question


def _required_text(row: Row, column: str) -> str:
    text = text_of(row.cell(column), row.label(column))
    if text is None:
        raise DataError(f"column {row.label(column)!r} ({OURS.required[column]}) is empty; fill it or drop the row")
    return text


def _answers(row: Row) -> tuple[str, ...]:
    """Return the right answers: those of a list, or the one, and what a column of ours adds."""
    answers = texts_of(row.cell("original_answer"), row.label("original_answer"))
    if not answers:
        raise DataError(
            f"column {row.label('original_answer')!r} ({OURS.required['original_answer']}) is empty; fill it or drop "
            "the row"
        )
    return tuple(dict.fromkeys((*answers, *texts_of(row.cell("other_answers"), row.label("other_answers")))))


def _needs_high_res(row: Row, source: str) -> bool | None:
    """Return what the row knows of itself: our column, else the name of the published set, else its `use_tool`."""
    info = row.cell("info")
    use_tool = info.get("use_tool") if isinstance(info, Mapping) else None
    own = flag_of(row.cell("needs_high_res"), row.label("needs_high_res"))
    if own is not None:
        return own
    return _NEEDS_HIGH_RES[source] if source in _NEEDS_HIGH_RES else flag_of(use_tool, "info.use_tool")


def _picture(row: Row, pictures: PictureFolder) -> bytes:
    """Return the bytes of the one picture, which a row holds itself or names by path."""
    value = row.cell("images")
    if isinstance(value, list):
        if len(value) != 1:
            raise DataError(f"column {row.label('images')!r} holds a list of {len(value)} pictures; a row has one")
        value = value[0]
    data, path = (value.get("bytes"), value.get("path")) if isinstance(value, Mapping) else (value, value)
    if isinstance(data, bytes) and data:
        return data
    for text in (data, path):
        if isinstance(text, str) and (found := inline_picture(text)) is not None:
            return found
    if isinstance(path, str) and not is_missing(path):
        return pictures.read(path, beside=row.folder)
    raise DataError(f"column {row.label('images')!r} holds neither bytes nor a path; fill it or drop the row")
