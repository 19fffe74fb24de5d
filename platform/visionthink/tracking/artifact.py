"""Artifacts that exist as values, not yet as files.

Rule: a run takes files only (one call to implement in every tracker), and a file that a run could not take at once must
still be there when it can. So these functions write the file to its place, for good, and then hand it over.
"""

from pathlib import Path

from visionthink.storage.atomic import atomic_write, atomic_write_json
from visionthink.tracking.tracker import TrackedRun


def keep_bytes(run: TrackedRun, path: Path, data: bytes, *, folder: str = "") -> None:
    """Write `data` (a PNG, say) to `path` and log the file."""
    atomic_write(path, data)
    run.log_artifact(path, folder=folder)


def keep_text(run: TrackedRun, path: Path, text: str, *, folder: str = "") -> None:
    """Write `text` (an HTML page, say) to `path` and log the file."""
    keep_bytes(run, path, text.encode(), folder=folder)


def keep_json(run: TrackedRun, path: Path, value: object, *, folder: str = "") -> None:
    """Write a value as indented JSON to `path` and log the file."""
    atomic_write_json(path, value)
    run.log_artifact(path, folder=folder)
