"""Any data set as samples: opened by its path or URI, every row checked before a stage sees it.

Rule: what is wrong with a data set is said before work on it begins, and what is wrong with a row names the row. A
labelling run of hours must not die at row 90,000 on a truncated JPEG: `skip_bad` counts such rows and goes on, and they
are told however the reading ends, also when the reader has had enough. Sound rows of which no episode can be made are
left out and counted in any case.
"""

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from visionthink.core.excerpt import excerpt
from visionthink.core.sample import Sample
from visionthink.datasets.choice import Format, TableFormat, choose_files, is_saved
from visionthink.datasets.hf_disk import DiskRows
from visionthink.datasets.jsonl import JsonlRows
from visionthink.datasets.picture_folder import PictureFolder
from visionthink.datasets.place import Place, find_place
from visionthink.datasets.report import SkipReport, SourceReport
from visionthink.datasets.row import NotAskableError, Row, Rows, to_sample
from visionthink.datasets.schema import OURS, Schema
from visionthink.errors import DataError, UserError
from visionthink.picture import MAX_PIXELS, decode
from visionthink.storage import LocalStore, Store, open_store

_MAX_EXAMPLES: Final = 20
_LOGGER: Final = logging.getLogger(__name__)


class Source:
    """The samples of a data set; each iteration reads them again from the start.

    Ids are unique: a doc_id that came before gets "#2", "#3", ... behind it. Stages that resume find rows by id.
    """

    def __init__(
        self,
        rows: Rows,
        pictures: PictureFolder,
        opened: SourceReport,
        *,
        schema: Schema = OURS,
        skip_bad: bool,
        check_pictures: bool,
        max_pixels: int,
        say: Callable[[str], None] = _LOGGER.warning,
    ) -> None:
        self._rows, self._pictures, self._opened = rows, pictures, opened
        self._schema = schema
        self._skip_bad, self._check_pictures, self._max_pixels = skip_bad, check_pictures, max_pixels
        self._say = say
        self.skipped = SkipReport()

    @property
    def name(self) -> str:
        """Where the data set is."""
        return self._rows.name

    @property
    def num_rows(self) -> int | None:
        """How many rows there are, bad ones too; None when only reading tells."""
        return self._rows.num_rows

    def report(self) -> SourceReport:
        """What is read, and what the last reading left out so far."""
        return replace(self._opened, skipped=self.skipped)

    def __iter__(self) -> Generator[Sample]:
        """Yield the samples in the order of the rows; what was left out is told at the end, or when the reader stops.

        Raises:
            DataError: a row is bad and `skip_bad` is off, or no row is left.
            StorageError: the store failed.
        """
        try:
            yield from self._samples()
        except GeneratorExit:
            self._tell()
            raise
        self._tell()

    def first(self) -> Sample:
        """The first sample. Nothing is told: whoever reads the whole will.

        Raises:
            DataError, StorageError: as when it is read.
        """
        return next(self._samples())

    def _tell(self) -> None:
        for line in self.skipped.lines(self.name):
            self._say(line)

    def _samples(self) -> Iterator[Sample]:
        self.skipped = SkipReport()
        numbers: dict[str, int] = {}
        for row in self._rows:
            sample = self._sample(row)
            if sample is not None:
                unique = _unique(sample.id, numbers)
                yield sample if unique == sample.id else replace(sample, id=unique)
        self._refuse_nothing()

    def _sample(self, row: Row) -> Sample | None:
        try:
            sample = to_sample(replace(row, schema=self._schema), self._pictures)
            if self._check_pictures:
                decode(sample.picture, name=row.name, max_pixels=self._max_pixels)
        except NotAskableError as error:
            self.skipped = self.skipped.with_unaskable(str(error))
            return None
        except DataError as error:
            if not self._skip_bad:
                raise
            self.skipped = self.skipped.with_one(str(error), max_examples=_MAX_EXAMPLES)
            return None
        self.skipped = replace(self.skipped, num_read=self.skipped.num_read + 1)
        return sample

    def _refuse_nothing(self) -> None:
        if self.skipped.num_read:
            return
        if not self.skipped.num_skipped and self.skipped.num_unaskable:
            raise DataError(
                f"{excerpt(self.name, 100)}: no episode can be made of any of the {self.skipped.num_unaskable} rows. "
                f"The first: {excerpt(self.skipped.unaskable, 180)}"
            )
        if not self.skipped.num_skipped:
            raise DataError(f"{excerpt(self.name)} holds no rows; check the path and how the data set was made")
        num_bad, first = self.skipped.num_skipped, self.skipped.first
        raise DataError(f"{excerpt(self.name, 100)}: all {num_bad} rows are bad. The first: {first}")


def open_source(
    uri: str | Path,
    *,
    schema: Schema = OURS,
    format: Format | Literal["auto"] = "auto",
    split: str | None = None,
    images: str | Path | None = None,
    skip_bad: bool = False,
    check_pictures: bool = True,
    max_pixels: int = MAX_PIXELS,
    say: Callable[[str], None] = _LOGGER.warning,
) -> Source:
    """Open a data set: a parquet or JSONL file or a folder of them, here or in S3, or a folder that `datasets` saved.

    Args:
        uri: a path, file:/// or s3://bucket/key URI.
        schema: what its columns are called.
        format: how to read it; "auto" looks at suffixes and at what the folder holds.
        split: which part of a saved DatasetDict, or of a folder whose files say in their names which part they are.
        images: where pictures lie that rows name by path; None is the folder of the data set.
        skip_bad: leave bad rows out, count them in `Source.skipped` and warn, instead of stopping at the first.
        check_pictures: decode every picture once; off, a bad one is met by the stage that opens it.
        max_pixels: a larger picture is a bad row.
        say: what is told of the rows that were left out, at the end of each reading.

    Raises:
        DataError: there is nothing there, nothing in it, a required column is missing, or format or split is unclear.
        StorageError: the store failed.
    """
    place = find_place(uri)
    if format == "hf_disk" or (format == "auto" and is_saved(place)):
        rows, report = _saved(place, split, schema)
    else:
        rows, report = _tables(place, None if format == "auto" else format, split, schema)
    if rows.num_rows == 0:
        raise DataError(f"{excerpt(rows.name)} holds no rows; check the path and how the data set was made")
    pictures = PictureFolder(place.store) if images is None else PictureFolder(open_store(images), (place.store,))
    return Source(
        rows,
        pictures,
        report,
        schema=schema,
        skip_bad=skip_bad,
        check_pictures=check_pictures,
        max_pixels=max_pixels,
        say=say,
    )


def _tables(place: Place, kind: TableFormat | None, split: str | None, schema: Schema) -> tuple[Rows, SourceReport]:
    kind, chosen = choose_files(place, kind, split)
    files = place.files(chosen.keys)
    rows: Rows = JsonlRows(files, chosen.keys, schema) if kind == "jsonl" else _parquet(files, chosen.keys, schema)
    return rows, SourceReport(
        name=place.name,
        format=kind,
        num_files=len(chosen.keys),
        num_rows=rows.num_rows,
        split=chosen.split,
        left_out=(*place.left_out, *chosen.left_out),
        identities=tuple(map(place.identity, chosen.keys)),
    )


def _saved(place: Place, split: str | None, schema: Schema) -> tuple[Rows, SourceReport]:
    if not isinstance(place.store, LocalStore):
        raise DataError(
            f"{excerpt(place.name)}: a saved Hugging Face data set must lie on a disk; copy the folder first"
        )
    rows = DiskRows(place.store.root, split, schema)
    return rows, SourceReport(
        name=place.name,
        format="hf_disk",
        num_files=len(place.keys),
        num_rows=rows.num_rows,
        split=split,
        identities=(place.identity(split or ""),),
    )


def _parquet(store: Store, keys: tuple[str, ...], schema: Schema) -> Rows:
    try:
        from visionthink.datasets.parquet import ParquetRows
    except ModuleNotFoundError as error:
        raise UserError(f"reading parquet needs {error.name}; install visionthink[data]") from error
    return ParquetRows(store, keys, schema)


def _unique(wanted: str, numbers: dict[str, int]) -> str:
    """Return `wanted` with the next free number; `numbers` keeps all names given out, and the last number of each."""
    name = wanted
    while name in numbers:
        numbers[wanted] += 1
        name = f"{wanted}#{numbers[wanted]}"
    numbers[name] = 1
    return name
