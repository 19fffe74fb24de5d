"""What the tests on a cluster measure, in one file that others read."""

import json
import time
from pathlib import Path
from typing import Any

from visionthink.storage.atomic import atomic_write


class Summary:
    """The figures, kept as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start_s = time.monotonic()
        self._facts: dict[str, Any] = {}

    def put(self, **facts: Any) -> None:
        self._facts |= facts
        self._facts["seconds"] = round(time.monotonic() - self._start_s, 1)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(self._path, (json.dumps(self._facts, indent=2) + "\n").encode())
