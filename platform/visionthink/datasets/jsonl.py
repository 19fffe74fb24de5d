r"""Samples as lines of JSON beside their pictures, in a folder or in S3: the format that people make by hand.

A line is an object with the columns of row.py; `images` is a path below the folder of pictures, or an s3:// URI:

    {"problem": "What is the code?", "images": "scans/0001.png", "original_answer": "B7", "family": "code"}

Rule: a bad line is a bad row and no more; an editor's trace (a BOM, a blank last line) is none.
"""

import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from visionthink.core.excerpt import excerpt
from visionthink.datasets.row import Row
from visionthink.datasets.schema import OURS, Schema
from visionthink.errors import DataError
from visionthink.storage import Reader

_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class JsonlRows:
    """The rows of one or more JSONL files of a store, in the order of `keys`."""

    store: Reader
    keys: tuple[str, ...]
    schema: Schema = OURS

    def __post_init__(self) -> None:
        """Refuse files whose first object lacks a column: the file was made with other names."""
        for key in self.keys:
            first = next((row for row in self._rows(key) if row.problem is None), None)
            if first is not None:
                self.schema.check(first.values, f"{self.store.uri}/{key}")

    @property
    def name(self) -> str:
        """Where the files are."""
        return f"{self.store.uri}/{self.keys[0]}" if len(self.keys) == 1 else self.store.uri

    @property
    def num_rows(self) -> int | None:
        """Unknown: only reading all lines tells."""
        return None

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, one in memory at a time."""
        for key in self.keys:
            yield from self._rows(key)

    def _rows(self, key: str) -> Iterator[Row]:
        with self.store.open(key) as file:
            for number, line in enumerate(file, start=1):
                if number == 1 and line.startswith(_UTF_16):
                    raise DataError(f"{excerpt(key)} is UTF-16 text, as PowerShell writes it; save it as UTF-8")
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if text.strip():
                    yield _row(text, key, number)


def _row(line: bytes, key: str, number: int) -> Row:
    name, default_id, folder = f"line {number} of {key}", f"{key}:{number}", posixpath.dirname(key)
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        problem = f"the line is no JSON ({excerpt(str(error), 80)}); mend or drop it"
        return Row(name=name, default_id=default_id, values={}, problem=problem)
    if not isinstance(values, Mapping):
        problem = f"the line holds a {type(values).__name__}; it must hold an object of columns"
        return Row(name=name, default_id=default_id, values={}, problem=problem)
    return Row(name=name, default_id=default_id, values=values, folder=folder)
