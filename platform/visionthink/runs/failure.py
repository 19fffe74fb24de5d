"""Why a stage ended badly: what `<stage>/error.json` holds.

Rule: one file of one shape, `{"error", "message", "exit_code"}`, whoever writes it: the stage itself, or the pipeline's
step around it, whose process nobody asks afterwards.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple

from visionthink.errors import VisionThinkError
from visionthink.storage import atomic_write_json

INTERRUPTED: Final = 130
"""Exit code of a command that the user interrupted."""


class Failure(NamedTuple):
    """What is told of an error."""

    error: str
    """Name of its kind."""
    message: str
    exit_code: int


def failure_of(error: BaseException) -> Failure:
    """What is told of an error: a message of ours as it is, any other one with the name of its kind."""
    kind = type(error).__name__
    if isinstance(error, VisionThinkError):
        return Failure(kind, str(error), error.exit_code)
    return Failure(kind, f"{kind}: {error}", INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1)


def keep_failure(path: Path, failure: Failure) -> None:
    """Write the file.

    Raises:
        StorageError: it cannot be written.
    """
    atomic_write_json(path, failure._asdict())


def read_failure(path: Path) -> Failure | None:
    """What the file holds; None when there is none, or none of this version."""
    try:
        match json.loads(path.read_text(encoding="utf-8")):
            case {"error": str() as error, "message": str() as message, "exit_code": int() as exit_code}:
                return Failure(error, message, exit_code)
    except (OSError, ValueError):
        pass
    return None
