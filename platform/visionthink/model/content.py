"""What makes a model: its files by name and content. Importing this module loads no torch."""

import hashlib
from pathlib import Path
from typing import Final

from visionthink.storage.manifest import FileEntry, Manifest, describe

FIGURES: Final = "evaluation.json"
"""The file beside a registered model's weights with its figures: not part of what makes two models the same."""


def content_of(folder: Path) -> dict[str, FileEntry]:
    """The files of the model in `folder`.

    Raises:
        StorageError: one cannot be read.
    """
    return {name: entry for name, entry in describe(folder).files.items() if name != FIGURES}


def digest_of(folder: Path) -> str:
    """A text that two folders share when they hold the same model; all files are read.

    Raises:
        StorageError: one cannot be read.
    """
    return hashlib.sha256(Manifest(files=content_of(folder)).to_json()).hexdigest()
