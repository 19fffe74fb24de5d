"""From what lies at a place to the files that are read, and in which format.

Rule: the split is chosen first, then the format among its files; what was left out on the way is kept with its reason.
"""

from pathlib import PurePosixPath
from typing import Final, Literal

from visionthink.core.excerpt import excerpt, listed
from visionthink.datasets.hf_disk import DATASET_FILES, SPLITS_FILE
from visionthink.datasets.place import Place
from visionthink.datasets.shard import Chosen, LeftOut, check_whole, choose_split, original_of
from visionthink.errors import DataError
from visionthink.storage.manifest import MANIFEST

Format = Literal["parquet", "jsonl", "hf_disk"]
TableFormat = Literal["parquet", "jsonl"]

_SUFFIXES: Final[dict[str, TableFormat]] = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_UNREAD: Final = frozenset(
    {".arrow", ".bz2", ".csv", ".feather", ".gz", ".json", ".tar", ".tsv", ".xz", ".zip", ".zst"}
)
"""What may hold rows but is not read; a README or a picture is left out without a word."""


def is_saved(place: Place) -> bool:
    """Say whether Hugging Face `datasets` saved this folder."""
    return SPLITS_FILE in place.keys or set(DATASET_FILES) <= set(place.keys)


def choose_files(place: Place, kind: TableFormat | None, split: str | None) -> tuple[TableFormat, Chosen]:
    """Return the format and the files to read; `kind` None takes the format that their names tell.

    Raises:
        DataError: there is no such file, a split or the format is unclear, or a set of files is not whole.
    """
    tables, left_out = _tables(place)
    if not tables and kind is not None and len(place.keys) == 1:
        tables = place.keys  # the only file may have any name
    if not tables:
        raise _nothing(place, kind)
    chosen = choose_split(tables, split, place=place.name)
    kind = kind or _told(chosen.keys, place)
    fitting = tuple(key for key in chosen.keys if _format_of(key) == kind)
    if not fitting and len(place.keys) > 1:
        raise _nothing(place, kind)
    keys = fitting or chosen.keys
    if not place.is_file:
        check_whole(keys, place=place.name)
    read = set(keys)
    others = (LeftOut(key=key, why="another format") for key in chosen.keys if key not in read)
    return kind, Chosen(keys=keys, split=chosen.split, left_out=(*left_out, *chosen.left_out, *others))


def _format_of(key: str) -> TableFormat | None:
    return _SUFFIXES.get(PurePosixPath(key).suffix.lower())


def _told(keys: tuple[str, ...], place: Place) -> TableFormat:
    found = {kind for key in keys if (kind := _format_of(key))}
    if len(found) != 1:
        raise DataError(
            f"{excerpt(place.name)} holds both parquet and JSONL files ({listed(keys)}); name the file, or say which "
            "format it is"
        )
    return found.pop()


def _nothing(place: Place, kind: TableFormat | None) -> DataError:
    found = listed(place.keys)
    if kind is not None:
        return DataError(f"{excerpt(place.name)} holds no {kind} file ({found}); name the file, or another format")
    saved = sorted({key.rpartition("/")[0] for key in place.keys if key.endswith(f"/{DATASET_FILES[0]}")})
    hint = f"; name one of the saved sets in it: {listed(saved)}" if saved else "; name the file, or say its format"
    return DataError(
        f"{excerpt(place.name)} holds neither parquet, JSONL nor a saved Hugging Face data set ({found}){hint}"
    )


def _tables(place: Place) -> tuple[tuple[str, ...], list[LeftOut]]:
    """Return the files whose names say that they hold rows, each once, and the copies that were left out."""
    found = [key for key in place.keys if _format_of(key)]
    names = set(found)
    keys: dict[str, str] = {}
    others = (PurePosixPath(key) for key in place.keys)
    # The list of files that makes a copy complete is no data, and not worth a word.
    unread = (str(key) for key in others if key.suffix.lower() in _UNREAD and key.name != MANIFEST)
    left_out = [LeftOut(key=key, why="not parquet or JSONL") for key in unread]
    # A link counts only where the file itself does not lie in the folder.
    for key in sorted(found, key=lambda key: (key in place.links, key)):
        original, identity = original_of(key, names), place.identity(key)
        if original is not None:
            left_out.append(LeftOut(key=key, why=f"a copy of {original}"))
        elif identity in keys:
            left_out.append(LeftOut(key=key, why=f"the same file as {keys[identity]}"))
        else:
            keys[identity] = key
    return tuple(sorted(keys.values())), left_out
