"""What a step that Kubeflow may skip depends on beside its settings: this code, and the data behind an address.

Rule: a key that is equal for other results is wrong; one that differs for equal results costs time alone. So all of the
package's files count, and every object's version.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import visionthink
from visionthink.config import RunConfig
from visionthink.storage.version import object_versions

_WORLD: Final = "world"
_CODE: Final = frozenset({".json", ".py", ".safetensors", ".toml", ".txt"})


def cache_key(config: RunConfig) -> str:
    """The version, and a digest of code and data."""
    digest = hashlib.blake2b(digest_size=16)
    for line in (*_code(Path(visionthink.__file__).parent), *_data(config)):
        digest.update(line.encode() + b"\0")
    return f"{visionthink.__version__}-{digest.hexdigest()}"


def version_of(key: str) -> str:
    """The version that a key was made with."""
    return key.rpartition("-")[0]


def _code(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*")):
        if path.suffix in _CODE and path.is_file():
            yield f"{path.relative_to(root)} {hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()}"


def _data(config: RunConfig) -> Iterator[str]:
    data = config.data
    if data.source == _WORLD:
        return
    for place in (data.source, data.eval_source, data.images):
        if place is not None:
            yield from (f"{place} {version}" for version in object_versions(place))
