"""Files that other processes may see at any moment: written whole or not at all, on a disk or in an S3 bucket."""

from visionthink.storage.access import check_readable
from visionthink.storage.atomic import atomic_dir, atomic_open, atomic_write, atomic_write_json
from visionthink.storage.error import DiskFullError, NotFoundError, PermissionDeniedError
from visionthink.storage.local import LocalStore
from visionthink.storage.manifest import Manifest, is_complete, verify
from visionthink.storage.store import Reader, Store, Writer
from visionthink.storage.tree import fetch_tree, publish_tree
from visionthink.storage.uri import open_store

__all__ = [
    "DiskFullError",
    "LocalStore",
    "Manifest",
    "NotFoundError",
    "PermissionDeniedError",
    "Reader",
    "Store",
    "Writer",
    "atomic_dir",
    "atomic_open",
    "atomic_write",
    "atomic_write_json",
    "check_readable",
    "fetch_tree",
    "is_complete",
    "open_store",
    "publish_tree",
    "verify",
]
