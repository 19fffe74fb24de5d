"""Folders in a store: published once, complete when the manifest is there, never changed.

Rule: a prefix is a version. A retried step that publishes the same files adopts what its first try made; other files
under the same prefix are an error, because a server may be reading them (DESIGN, law 6).
"""

from pathlib import Path

from visionthink.errors import StorageError
from visionthink.storage.atomic import atomic_dir
from visionthink.storage.error import NotFoundError
from visionthink.storage.manifest import MANIFEST, Manifest, describe
from visionthink.storage.store import Reader, Store


def publish_tree(store: Store, prefix: str, folder: Path) -> Manifest:
    """Copy all files of `folder` below `prefix`, the manifest last; do nothing when just these files are there.

    Raises:
        StorageError: `prefix` holds other files, or the store failed (then no manifest was written).
    """
    manifest = describe(folder)
    if not manifest.files:
        raise StorageError(f"{folder} holds no file to publish as {store.uri}/{prefix}", retryable=False)
    key = f"{prefix}/{MANIFEST}"
    if store.exists(key):
        _check_same(manifest, store, prefix)
        return manifest
    for name in manifest.files:
        store.upload(f"{prefix}/{name}", folder / name)
    if not store.create(key, manifest.to_json()):
        _check_same(manifest, store, prefix)
    return manifest


def read_manifest(store: Reader, prefix: str) -> Manifest:
    """Return the manifest below `prefix`.

    Raises:
        NotFoundError: there is none, so nothing was published to its end.
    """
    key = f"{prefix}/{MANIFEST}"
    try:
        data = store.read(key)
    except NotFoundError as error:
        raise NotFoundError(f"{store.uri}/{prefix} is not complete: it has no {MANIFEST}; publish it again") from error
    return Manifest.from_json(data, f"{store.uri}/{key}")


def fetch_tree(store: Store, prefix: str, folder: Path) -> Manifest:
    """Copy what was published below `prefix` to the new folder `folder`, checking every byte.

    Raises:
        NotFoundError: `prefix` is not complete.
        StorageError: `folder` exists, or a file arrived damaged (retryable).
    """
    manifest = read_manifest(store, prefix)
    with atomic_dir(folder) as temporary:
        for name in manifest.files:
            store.download(f"{prefix}/{name}", temporary / name)
        if describe(temporary) != manifest:
            raise StorageError(f"{store.uri}/{prefix} arrived other than its {MANIFEST} says", retryable=True)
    return manifest


def _check_same(manifest: Manifest, store: Reader, prefix: str) -> None:
    if read_manifest(store, prefix) != manifest:
        raise StorageError(
            f"{store.uri}/{prefix} was published with other files and never changes; publish under a new version",
            retryable=False,
        )
