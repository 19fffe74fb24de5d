"""What tells one version of the data behind an address from another, without reading it.

Rule: it changes whenever the content does. S3 says so by an object's ETag, a disk by size and time of a file.
"""

from collections.abc import Iterator
from pathlib import Path

from visionthink.storage.error import from_os_error
from visionthink.storage.local import LocalStore
from visionthink.storage.s3_error import translated
from visionthink.storage.uri import open_store


def object_versions(uri: str) -> Iterator[str]:
    """Yield a line for each file or object at `uri`, and for those below it, in the order of their names.

    Raises:
        StorageError: the disk or server failed.
    """
    from visionthink.storage.s3 import S3Store

    store = open_store(uri)
    if isinstance(store, S3Store):
        pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=store.prefix)
        with translated(uri, "list"):
            for page in pages:
                yield from (f"{entry['Key']} {entry['ETag']}" for entry in page.get("Contents", []))
    else:
        assert isinstance(store, LocalStore), store
        yield from map(_file_version, _files(Path(store.root)))


def _files(root: Path) -> list[Path]:
    return [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())


def _file_version(path: Path) -> str:
    try:
        found = path.stat()
    except OSError as error:
        raise from_os_error(error, str(path), "look up") from error
    return f"{path} {found.st_size} {found.st_mtime_ns}"
