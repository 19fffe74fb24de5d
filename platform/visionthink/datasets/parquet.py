"""Samples in parquet files: the format that the stages hand each other, in the columns of the published sets.

Rule: neither way holds the pictures of a whole file in memory. Row groups are cut by bytes, not by rows, so a file of
large photographs is read in the same memory as one of small drawings. The schema carries Hugging Face's feature
description, so `datasets` shows `images` as pictures.
"""

import contextlib
import json
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from visionthink.core.excerpt import excerpt, shown
from visionthink.core.geometry import ViewRule, quarter_view
from visionthink.core.sample import Sample
from visionthink.datasets.picture_folder import PictureFolder
from visionthink.datasets.row import Row, problem_of, to_sample
from visionthink.datasets.schema import OURS, Schema
from visionthink.errors import DataError
from visionthink.picture import size_of
from visionthink.storage import LocalStore, Reader, atomic_open

ROW_GROUP_BYTES: Final = 16 * 1024**2
"""Bytes of pictures after which a row group is closed."""

_BATCH_ROWS: Final = 16
_PAGE_ROWS: Final = 8
"""Rows after which pyarrow looks whether a page is full: a reader holds whole pages, and its default is 1024 rows."""
_READ_BYTES: Final = 1024**2

_TEXT: Final = {"dtype": "string", "_type": "Value"}
_NUMBER: Final = {"dtype": "int64", "_type": "Value"}
_FLAG: Final = {"dtype": "bool", "_type": "Value"}
_FEATURES: Final = {
    "problem": _TEXT,
    "images": {"_type": "Image"},
    "original_answer": _TEXT,
    "solution": _TEXT,
    "doc_id": _TEXT,
    "data_source": _TEXT,
    "info": {"use_tool": _FLAG, "tgt_width": _NUMBER, "tgt_height": _NUMBER},
    "family": _TEXT,
    "needs_high_res": _FLAG,
    "other_answers": {"feature": _TEXT, "_type": "List"},
    "region": {"feature": _NUMBER, "_type": "List"},
}
SCHEMA: Final = pa.schema(
    [
        ("problem", pa.string()),
        ("images", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("original_answer", pa.string()),
        ("solution", pa.string()),
        ("doc_id", pa.string()),
        ("data_source", pa.string()),
        ("info", pa.struct([("use_tool", pa.bool_()), ("tgt_width", pa.int64()), ("tgt_height", pa.int64())])),
        ("family", pa.string()),
        ("needs_high_res", pa.bool_()),
        ("other_answers", pa.list_(pa.string())),
        ("region", pa.list_(pa.int64())),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)


@dataclass(frozen=True, slots=True)
class ParquetRows:
    """The rows of one or more parquet files of a store, in the order of `keys`."""

    store: Reader
    keys: tuple[str, ...]
    schema: Schema = OURS
    num_rows: int = field(init=False)
    """How many rows all files have, from their footers."""

    def __post_init__(self) -> None:
        """Refuse files that are no parquet or lack a column, before the first row is asked for."""
        num_rows = 0
        for key in self.keys:
            with self._opened(key) as file:
                self.schema.check(file.schema_arrow.names, f"{self.store.uri}/{key}")
                num_rows += file.metadata.num_rows
        object.__setattr__(self, "num_rows", num_rows)

    @property
    def name(self) -> str:
        """Where the files are."""
        return f"{self.store.uri}/{self.keys[0]}" if len(self.keys) == 1 else self.store.uri

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, a few in memory at a time."""
        for key in self.keys:
            with self._opened(key) as file:
                yield from _rows(file, key, self.schema)

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[pq.ParquetFile]:
        with self.store.open(key) as file, _translated(f"{self.store.uri}/{key}"):
            # Not pre_buffer: it fetches the pictures of all row groups ahead. The buffer reads them page by page.
            yield pq.ParquetFile(file, pre_buffer=False, buffer_size=_READ_BYTES)


def read_samples(path: Path) -> Iterator[Sample]:
    """Open a parquet file of samples and yield them. Pictures are not decoded: `open_source` checks foreign files.

    Raises:
        DataError: there is no such file, it is no parquet, lacks a column, or has no row; later: a row is bad.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file; give the path of a parquet file")
    store = LocalStore(path.parent)
    rows = ParquetRows(store, (path.name,))
    if rows.num_rows == 0:
        raise DataError(f"{path} holds no rows; make it again")
    return (to_sample(row, PictureFolder(store)) for row in rows)


def write_samples(
    path: Path, samples: Iterable[Sample], *, rule: ViewRule | None = None, row_group_bytes: int = ROW_GROUP_BYTES
) -> int:
    """Make or replace a parquet file of samples and return their number. Equal samples give an equal file.

    With `rule` the column `info` states the size of the first view, which the released training code reads; without,
    it is null.

    Raises:
        DataError: there was no sample; no file was made.
        DiskFullError: no room; no file was made.
    """
    num_samples = 0
    with atomic_open(path) as file:
        with _writer(file) as writer:
            for group in _grouped(samples, row_group_bytes):
                writer.write_table(pa.Table.from_pylist([_record(sample, rule) for sample in group], schema=SCHEMA))
                num_samples += len(group)
        if num_samples == 0:
            raise DataError(f"there are no samples to write to {path}; check what was meant to make them")
    return num_samples


def _writer(file: BinaryIO) -> pq.ParquetWriter:
    """Compress the texts; pictures are compressed already and never repeat."""
    leaves = [column for column in _leaves() if column != "images.bytes"]
    compression = dict.fromkeys(leaves, "zstd") | {"images.bytes": "none"}
    return pq.ParquetWriter(
        file,
        SCHEMA,
        compression=compression,
        use_dictionary=leaves,
        write_statistics=leaves,
        write_batch_size=_PAGE_ROWS,
    )


def _leaves() -> Iterator[str]:
    """Yield the paths of the columns as parquet stores them."""
    for column in SCHEMA:
        if pa.types.is_list(column.type):
            yield f"{column.name}.list.element"
            continue
        inner = [column.type.field(index).name for index in range(column.type.num_fields)]
        yield from (f"{column.name}.{name}" for name in inner) if inner else (column.name,)


def _grouped(samples: Iterable[Sample], row_group_bytes: int) -> Iterator[list[Sample]]:
    """Cut into groups whose pictures just reach `row_group_bytes`."""
    group: list[Sample] = []
    size_bytes = 0
    for sample in samples:
        group.append(sample)
        size_bytes += len(sample.picture)
        if size_bytes >= row_group_bytes:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group


def _record(sample: Sample, rule: ViewRule | None) -> dict[str, object]:
    if not (sample.id and sample.question.strip() and sample.answer.strip() and sample.picture):
        raise DataError(
            f"{shown(sample, 120)} lacks an id, a question, an answer or a picture; nobody could read it back"
        )
    first = quarter_view(size_of(sample.picture, name=sample.id), rule).size if rule is not None else None
    return {
        "problem": problem_of(sample.question),
        "images": {"bytes": sample.picture, "path": None},
        "original_answer": sample.answer,
        "solution": sample.answer,
        "doc_id": sample.id,
        "data_source": sample.source,
        "info": {
            "use_tool": sample.needs_high_res,
            "tgt_width": first.width if first else None,
            "tgt_height": first.height if first else None,
        },
        "family": sample.family,
        "needs_high_res": sample.needs_high_res,
        "other_answers": list(sample.other_answers) or None,
        "region": None if sample.region is None else list(sample.region.edges),
    }


def _rows(file: pq.ParquetFile, key: str, schema: Schema) -> Iterator[Row]:
    """Yield the rows of an opened file."""
    folder = posixpath.dirname(key)
    columns = schema.wanted(file.schema_arrow.names)
    number = 0
    for group in range(file.num_row_groups):
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False):
            for values in batch.to_pylist():
                yield Row(name=f"row {number} of {key}", default_id=f"{key}:{number}", values=values, folder=folder)
                number += 1


@contextlib.contextmanager
def _translated(place: str) -> Iterator[None]:
    """Translate what pyarrow says of a file that is not, or no longer, parquet."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{excerpt(place)} cannot be read as parquet ({excerpt(str(error), 120)}); make or fetch the file again"
        ) from error
