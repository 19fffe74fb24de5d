"""A folder of small JSON values by key, which any number of processes fill and read at a time.

Rule: an entry is there whole or not at all, and only a whole one is ever handed out: it begins with the digest of what
follows. What a killed process, a full disk or a bad sector left of one counts as missing, and is written anew. Nothing
is synced to the disk, for what a power cut takes is only work to be done again.
"""

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Final

from visionthink.core.json_value import Json
from visionthink.storage.error import from_os_error
from visionthink.storage.key import TEMPORARY_PREFIX

_DIGEST_BYTES: Final = 16


class CacheFolder:
    """The entries below one folder."""

    def __init__(self, folder: Path) -> None:
        """Keep entries in `folder`, which is made with the first one."""
        self._folder = folder

    def find(self, key: str) -> Json:
        """The value at `key`, a text of letters and digits; None where there is none that is whole.

        Raises:
            StorageError: the folder cannot be read.
        """
        path = self._path(key)
        try:
            check, _, body = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, str(path), "read") from error
        if check != _check(body):
            return None
        value: Json = json.loads(body)
        return value

    def keep(self, key: str, value: Json) -> None:
        """Put `value` at `key`, in place of what is there.

        Raises:
            DiskFullError: no room.
            StorageError: the folder cannot be written to.
        """
        path = self._path(key)
        body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(_check(body) + b"\n" + body)
            os.replace(temporary, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise from_os_error(error, str(path), "write") from error

    def _path(self, key: str) -> Path:
        """Spread over folders: a single one of a million files is slow to list."""
        return self._folder / key[:2] / f"{key}.json"


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest().encode()
