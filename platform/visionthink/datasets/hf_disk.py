"""The published VisionThink sets: folders that Hugging Face `datasets` saved, opened with load_from_disk.

Rule: pictures pass through as the bytes they were saved with. `datasets` would decode them with a Pillow call of its
own, without the checks and the EXIF turn of visionthink.picture. The files of the folder say where its parts lie; a
part that leads out of the folder is refused, for the folder may be somebody else's.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from visionthink.core.excerpt import excerpt, listed, shown
from visionthink.datasets.row import Row
from visionthink.datasets.schema import OURS, Schema
from visionthink.errors import DataError, UserError

if TYPE_CHECKING:
    import datasets

STATE_FILE: Final = "state.json"
DATASET_FILES: Final = ("dataset_info.json", STATE_FILE)
SPLITS_FILE: Final = "dataset_dict.json"

_BATCH_ROWS: Final = 16


@dataclass(frozen=True, slots=True)
class DiskRows:
    """The rows of a saved Dataset, or of one split of a saved DatasetDict."""

    path: Path
    split: str | None = None
    schema: Schema = OURS
    _data: "datasets.Dataset" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Open the folder and refuse one that lacks a column."""
        folder = _split_folder(self.path, self.split)
        _check_parts(folder)
        data = _load(folder)
        self.schema.check(data.column_names, str(folder))
        object.__setattr__(self, "_data", data.select_columns(self.schema.wanted(data.column_names)))

    @property
    def name(self) -> str:
        """Where the folder is."""
        return str(self.path) if self.split is None else f"{self.path} (split {self.split})"

    @property
    def num_rows(self) -> int:
        """How many rows the set has."""
        return int(self._data.num_rows)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows from the memory-mapped shards, a few in memory at a time."""
        number = 0
        # In the format "arrow" an Image feature stays the struct of bytes and path that it is stored as.
        for table in self._data.with_format("arrow").iter(batch_size=_BATCH_ROWS):
            for values in table.to_pylist():
                yield Row(
                    name=f"row {number} of {self.path.name}", default_id=f"{self.path.name}:{number}", values=values
                )
                number += 1


def _split_folder(path: Path, split: str | None) -> Path:
    """Return the folder of the Dataset to open."""
    splits = _splits(path)
    if split is None and len(splits) <= 1:
        return path.joinpath(*splits)
    if split is None or split not in splits:
        asked = "no split was asked for" if split is None else f"there is no split {shown(split)}"
        raise DataError(f"{excerpt(str(path))}: {asked}; it has {listed(splits)}")
    return path / split


def _splits(path: Path) -> list[str]:
    """Return the names of the splits of a saved DatasetDict, none for a Dataset."""
    file = path / SPLITS_FILE
    if not file.is_file():
        return []
    try:
        splits = [str(name) for name in json.loads(file.read_bytes())["splits"]]
    except (ValueError, LookupError, TypeError, OSError, RecursionError) as error:
        raise DataError(f"{file} is broken ({shown(error, 120)}); save the data set again") from error
    for name in splits:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise DataError(f"{file} names the split {shown(name)}, which leads out of the folder; save the set again")
    return splits


def _check_parts(folder: Path) -> None:
    """Refuse a saved Dataset whose files lie elsewhere; a description that is no such thing is left to `datasets`."""
    try:
        parts = [str(part["filename"]) for part in json.loads((folder / STATE_FILE).read_bytes())["_data_files"]]
    except (ValueError, LookupError, TypeError, OSError, RecursionError):
        return
    for name in parts:
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise DataError(
                f"{folder / STATE_FILE} names the file {shown(name)}, which leads out of the folder; save the set again"
            )


def _load(folder: Path) -> "datasets.Dataset":
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise UserError(f"reading {folder} needs {error.name}; install visionthink[data]") from error
    try:
        data = datasets.load_from_disk(str(folder))
    except IndexError as error:
        raise DataError(f"{folder} holds no rows, so it was saved without a shard; save it again") from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{folder} cannot be opened as a saved Hugging Face data set ({excerpt(str(error), 100)}); save it again "
            "with save_to_disk"
        ) from error
    if not isinstance(data, datasets.Dataset):
        raise DataError(f"{folder} holds several splits; name one of them")
    return data
