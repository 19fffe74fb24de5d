"""Any data set as samples: opened by its path or URI, every row checked before a stage sees it.

Rule: what is wrong with a data set is said before work on it begins, and what is wrong with a row names the row. A
labelling run of hours must not die at row 90,000 on a truncated JPEG: `skip_bad` counts such rows and goes on.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, assert_never

from visionthink.core.sample import Sample
from visionthink.datasets.hf_disk import DATASET_FILES, SPLITS_FILE, DiskRows
from visionthink.datasets.jsonl import JsonlRows
from visionthink.datasets.row import PictureFolder, Row, Rows, to_sample
from visionthink.errors import DataError, UserError
from visionthink.picture import MAX_PIXELS, decode
from visionthink.storage import LocalStore, Store, open_store

Format = Literal["parquet", "jsonl", "hf_disk"]

_SUFFIXES: Final[dict[str, Format]] = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_MAX_EXAMPLES: Final = 20
_NUM_SHOWN: Final = 5
_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipReport:
    """What the last reading left out."""

    num_skipped: int = 0
    examples: tuple[str, ...] = ()
    """The errors of the first rows that were left out."""


class Source:
    """The samples of a data set; each iteration reads them again from the start.

    Ids are unique: a doc_id that came before gets "#2", "#3", ... behind it. Stages that resume find rows by id.
    """

    def __init__(
        self, rows: Rows, pictures: PictureFolder, *, skip_bad: bool, check_pictures: bool, max_pixels: int
    ) -> None:
        self._rows, self._pictures = rows, pictures
        self._skip_bad, self._check_pictures, self._max_pixels = skip_bad, check_pictures, max_pixels
        self.skipped = SkipReport()

    @property
    def name(self) -> str:
        """Where the data set is."""
        return self._rows.name

    @property
    def num_rows(self) -> int | None:
        """How many rows there are, bad ones too; None when only reading tells."""
        return self._rows.num_rows

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples in the order of the rows.

        Raises:
            DataError: a row is bad and `skip_bad` is off, or no row is left.
            StorageError: the store failed.
        """
        self.skipped = SkipReport()
        ids: set[str] = set()
        for row in self._rows:
            sample = self._sample(row)
            if sample is not None:
                unique = _unique(sample.id, ids)
                ids.add(unique)
                yield sample if unique == sample.id else replace(sample, id=unique)
        self._finish(num_samples=len(ids))

    def _sample(self, row: Row) -> Sample | None:
        try:
            sample = to_sample(row, self._pictures)
            if self._check_pictures:
                decode(sample.picture, name=row.name, max_pixels=self._max_pixels)
        except DataError as error:
            if not self._skip_bad:
                raise
            examples = (*self.skipped.examples, str(error))[:_MAX_EXAMPLES]
            self.skipped = SkipReport(num_skipped=self.skipped.num_skipped + 1, examples=examples)
            return None
        return sample

    def _finish(self, num_samples: int) -> None:
        """Say what was left out, and that nothing is left."""
        if self.skipped.num_skipped == 0 and num_samples == 0:
            raise DataError(f"{self.name} holds no rows; check the path and how the data set was made")
        if self.skipped.num_skipped == 0:
            return
        first = "; ".join(self.skipped.examples[:_NUM_SHOWN])
        if num_samples == 0:
            raise DataError(f"{self.name}: all {self.skipped.num_skipped} rows are bad. The first: {first}")
        _LOGGER.warning(
            "%s: skipped %d bad rows of %d. The first: %s",
            self.name,
            self.skipped.num_skipped,
            self.skipped.num_skipped + num_samples,
            first,
        )


def open_source(
    uri: str | Path,
    *,
    format: Format | Literal["auto"] = "auto",
    split: str | None = None,
    images: str | Path | None = None,
    skip_bad: bool = False,
    check_pictures: bool = True,
    max_pixels: int = MAX_PIXELS,
) -> Source:
    """Open a data set: a parquet or JSONL file or a folder of them, here or in S3, or a folder that `datasets` saved.

    Args:
        uri: a path, file:/// or s3://bucket/key URI.
        format: how to read it; "auto" looks at suffixes and at what the folder holds.
        split: which part of a saved DatasetDict.
        images: where pictures lie that rows name by path; None is the folder of the data set.
        skip_bad: leave bad rows out, count them in `Source.skipped` and warn, instead of stopping at the first.
        check_pictures: decode every picture once; off, a bad one is met by the stage that opens it.
        max_pixels: a larger picture is a bad row.

    Raises:
        DataError: there is nothing there, nothing in it, a required column is missing, or the format is unclear.
        StorageError: the store failed.
    """
    store, keys = _located(uri)
    kind = _detected(store, keys) if format == "auto" else format
    if split is not None and kind != "hf_disk":
        raise DataError(f"{uri} is read as {kind}, which has no splits; leave split={split!r} out or name its file")
    rows = _opened(store, keys, kind, split)
    if rows.num_rows == 0:
        raise DataError(f"{rows.name} holds no rows; check the path and how the data set was made")
    pictures = PictureFolder(store if images is None else open_store(images))
    return Source(rows, pictures, skip_bad=skip_bad, check_pictures=check_pictures, max_pixels=max_pixels)


def _located(uri: str | Path) -> tuple[Store, tuple[str, ...]]:
    """Return the store of the folder and the keys in it; a file is its folder with one key."""
    store = open_store(uri)
    if isinstance(store, LocalStore):
        if store.root.is_file():
            return LocalStore(store.root.parent), (store.root.name,)
    else:
        folder, _, name = store.uri.rpartition("/")
        if folder != "s3:/" and (parent := open_store(folder)).exists(name):
            return parent, (name,)
    keys = tuple(store.list())
    if not keys:
        raise DataError(f"{uri} does not exist or is empty; give a file, a folder or an s3:// URI that holds samples")
    return store, keys


def _detected(store: Store, keys: tuple[str, ...]) -> Format:
    """Return the format that the names of the files tell."""
    if SPLITS_FILE in keys or set(DATASET_FILES) <= set(keys):
        return "hf_disk"
    found = {_SUFFIXES[suffix] for key in keys if (suffix := Path(key).suffix.lower()) in _SUFFIXES}
    if len(found) == 1:
        return found.pop()
    what = "both parquet and JSONL files" if found else "neither parquet, JSONL nor a saved Hugging Face data set"
    raise DataError(f"{store.uri} holds {what} ({_shown(keys)}); name the file, or say which format it is")


def _opened(store: Store, keys: tuple[str, ...], kind: Format, split: str | None) -> Rows:
    """Open the files of that format; one file may have any name, of several the suffixes choose."""
    chosen = keys if len(keys) == 1 else tuple(key for key in keys if _SUFFIXES.get(Path(key).suffix.lower()) == kind)
    if not chosen and kind != "hf_disk":
        raise DataError(f"{store.uri} holds no {kind} file ({_shown(keys)}); name the file, or another format")
    match kind:
        case "parquet":
            return _parquet(store, chosen)
        case "jsonl":
            return JsonlRows(store, chosen)
        case "hf_disk":
            if not isinstance(store, LocalStore):
                raise DataError(f"{store.uri}: a saved Hugging Face data set must lie on a disk; copy the folder first")
            return DiskRows(store.root, split)
        case _:
            assert_never(kind)


def _parquet(store: Store, keys: tuple[str, ...]) -> Rows:
    try:
        from visionthink.datasets.parquet import ParquetRows
    except ModuleNotFoundError as error:
        raise UserError(f"reading parquet needs {error.name}; install visionthink[data]") from error
    return ParquetRows(store, keys)


def _shown(keys: tuple[str, ...]) -> str:
    """Return the first names, for messages."""
    return ", ".join(keys[:_NUM_SHOWN]) + (", ..." if len(keys) > _NUM_SHOWN else "")


def _unique(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}#{number}"
    return name
