"""Copies of public sets in a folder or bucket of one's own, in the parquet form that an evaluation reads.

Rule: a copy is complete when its manifest is there, and that is written last. Each file appears whole and says what it
is a part of, so that a killed copy goes on behind its last file and two sets are never mixed. Columns stay as they are
published, pictures as their bytes; what could not be read back is refused before anything is written.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from visionthink.core.excerpt import excerpt, shown
from visionthink.datasets.picture_folder import PictureFolder
from visionthink.datasets.published import Published
from visionthink.datasets.row import NotAskableError, Row, to_sample
from visionthink.errors import DataError, StorageError, UserError
from visionthink.storage import LocalStore, Manifest, Store
from visionthink.storage.manifest import MANIFEST, FileEntry, describe

if TYPE_CHECKING:
    import datasets

ROWS_PER_FILE: Final = 256
_ROWS_PER_GROUP: Final = 32
_PAGE_ROWS: Final = 8
"""Rows after which pyarrow looks whether a page is full; see `parquet`."""
_PART: Final = b"visionthink.part"
"""Under which a file says what it is a part of."""
_MAX_LOOKED_AT: Final = 64
"""Rows that are looked at until one becomes a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is copied: equal for each try of a copy."""

    source: str
    """Address on the hub, or a folder."""
    subset: str | None
    split: str
    revision: str | None
    """The very state of a repository on the hub, by its hash; None for a folder."""


def mirror(
    published: Published,
    store: Store,
    *,
    source: str | None = None,
    revision: str | None = None,
    rows_per_file: int = ROWS_PER_FILE,
    say: Callable[[str], None],
) -> Manifest:
    """Copy a public set to `store` and return its manifest; a copy that is complete is left as it is.

    Args:
        published: the set.
        store: where to; empty, or holding a part of this very copy.
        source: another address than the one it is published under, on the hub or a folder.
        revision: a branch, tag or hash; None is the newest.
        rows_per_file: how much a killed copy repeats at most; the same for each try.
        say: told of each file.

    Raises:
        DataError: the set is not as published, or `store` holds something else.
        UserError: there is no such set, or it wants a login.
        StorageError: the hub or the store failed; the next try goes on.
    """
    origin = _origin(published, source, revision)
    if store.exists(MANIFEST):
        return _complete(store, origin)
    data = _loaded(origin)
    _check(data, published, origin)
    num_files = -(-data.num_rows // rows_per_file)
    files: dict[str, FileEntry] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(num_files):
            key = f"{origin.split}-{number:05d}-of-{num_files:05d}.parquet"
            path = Path(folder) / key
            if store.exists(key):
                _check_part(store, key, origin)
                store.download(key, path)
                say(f"{key} is there already")
            else:
                _write(data, range(number * rows_per_file, (number + 1) * rows_per_file), path, origin)
                store.upload(key, path)
                say(f"{key}: file {number + 1} of {num_files}")
            files |= describe(Path(folder)).files
            path.unlink()
    manifest = Manifest(files=files)
    store.create(MANIFEST, manifest.to_json())
    return manifest


def _complete(store: Store, origin: Origin) -> Manifest:
    manifest = Manifest.from_json(store.read(MANIFEST), f"{store.uri}/{MANIFEST}")
    for key in list(manifest.files)[:1]:
        _check_part(store, key, origin)
    return manifest


def _check_part(store: Store, key: str, origin: Origin) -> None:
    """Refuse a file that belongs to something else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with store.open(key) as file:
            found = (pq.ParquetFile(file).schema_arrow.metadata or {}).get(_PART)
    except pa.ArrowException:
        found = None
    if found != _described(origin):
        held = "something else" if found is None else shown(found.decode(errors="replace"), 200)
        raise DataError(
            f"{excerpt(store.uri)}/{key} is no part of {origin.source} ({origin.split}) but of {held}; name an empty "
            "folder"
        )


def _described(origin: Origin) -> bytes:
    return json.dumps(asdict(origin), sort_keys=True).encode()


def _origin(published: Published, source: str | None, revision: str | None) -> Origin:
    place = source or published.hub_id
    is_folder = Path(place).exists()
    return Origin(
        source=str(Path(place).resolve()) if is_folder else place,
        subset=published.subset,
        split=published.split,
        revision=None if is_folder else _resolved(place, revision),
    )


def _resolved(hub_id: str, revision: str | None) -> str | None:
    """The hash that a revision stands for now: the same files for each try."""
    try:
        import huggingface_hub
        from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
    except ModuleNotFoundError as error:
        raise UserError(f"copying {hub_id} needs {error.name}; install visionthink[data]") from error
    try:
        return huggingface_hub.HfApi().dataset_info(hub_id, revision=revision, timeout=60).sha
    except (RepositoryNotFoundError, HFValidationError) as error:
        login = "accept its terms on the hub, and " if isinstance(error, GatedRepoError) else ""
        raise UserError(
            f"{hub_id} is no data set on the hub that may be read ({excerpt(str(error), 120)}); name another address "
            f"or a folder with --from, or {login}set HF_TOKEN"
        ) from error
    except OSError as error:
        raise StorageError(
            f"the hub cannot be asked for {hub_id} ({excerpt(str(error), 160)}); try again, or name a folder that "
            "holds the set with --from",
            retryable=True,
        ) from error


def _loaded(origin: Origin) -> "datasets.Dataset":
    try:
        import datasets
        from datasets.exceptions import DatasetGenerationError
    except ModuleNotFoundError as error:
        raise UserError(f"copying {origin.source} needs {error.name}; install visionthink[data]") from error
    try:
        return datasets.load_dataset(origin.source, origin.subset, split=origin.split, revision=origin.revision)
    except (ValueError, FileNotFoundError, DatasetGenerationError) as error:
        raise DataError(
            f"{excerpt(origin.source)} cannot be read as a data set with the split {origin.split!r}"
            f"{f' of {origin.subset!r}' if origin.subset else ''} ({excerpt(str(error), 200)}); check the address"
        ) from error
    except OSError as error:
        raise StorageError(
            f"{excerpt(origin.source)} cannot be fetched ({excerpt(str(error), 160)}); the same command goes on",
            retryable=True,
        ) from error


def _check(data: "datasets.Dataset", published: Published, origin: Origin) -> None:
    """Refuse a set that has other columns, or whose first rows are no samples."""
    published.schema.check(data.column_names, origin.source)
    nowhere = PictureFolder(LocalStore(Path(origin.source)))
    for number in range(min(data.num_rows, _MAX_LOOKED_AT)):
        (values,) = _table(data, range(number, number + 1)).to_pylist()
        name = f"row {number} of {excerpt(origin.source, 60)}"
        try:
            to_sample(Row(name=name, default_id=name, values=values, schema=published.schema), nowhere)
        except NotAskableError:
            continue
        return
    raise DataError(f"{excerpt(origin.source)} holds no row that an episode can be made of; check the address")


def _table(data: "datasets.Dataset", rows: range) -> "datasets.table.Table":
    """Some rows, pictures as the bytes of their files."""
    from datasets.table import embed_table_storage

    table = data.with_format("arrow")[rows.start : min(rows.stop, data.num_rows)]
    return embed_table_storage(table.replace_schema_metadata(data.features.arrow_schema.metadata))


def _write(data: "datasets.Dataset", rows: range, path: Path, origin: Origin) -> None:
    import pyarrow.parquet as pq

    table = _table(data, rows)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _PART: _described(origin)})
    pq.write_table(
        table,
        path,
        compression="zstd",
        row_group_size=_ROWS_PER_GROUP,
        write_batch_size=_PAGE_ROWS,
        use_dictionary=False,
    )
