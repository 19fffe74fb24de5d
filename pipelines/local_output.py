"""What a user sees of a pipeline that kfp.local runs.

Rule: kfp prints its own log lines, the whole executor input of each step as JSON, rules and colours, all through
standard output. The user is shown what the stages say; everything is kept in a log file beside the run.
"""

import io
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TextIO

from visionthink.pipelines.parent import BEGIN, END, FAILED

_NUM_LAST_LINES = 20
# kfp.local indents what a step prints.
_INDENT = "    "
# A log line or a rule of kfp.local itself, seen between the markers when a step was killed.
_OF_KFP = re.compile(r"\d\d:\d\d:\d\d\.\d{3} - [A-Z]+ - |-{20,}$")


class LocalOutput(io.TextIOBase):
    """A standard output for kfp: shows the lines of stages, keeps all."""

    def __init__(
        self,
        stages: Sequence[str],
        *,
        log: TextIO,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._stages = tuple(stages)
        self._log = log
        self._say = say
        self._clock = clock
        self._rest = ""
        self._began_s = 0.0
        self._at_work = False
        self._last_lines: deque[str] = deque(maxlen=_NUM_LAST_LINES)
        self.stage: str | None = None
        """The stage at work, or the one that failed."""

    @property
    def last_lines(self) -> list[str]:
        """The end of everything that was printed."""
        return list(self._last_lines)

    def writable(self) -> bool:
        """Tell that this can be written to."""
        return True

    def write(self, text: str) -> int:
        """Take text as it comes and deal with whole lines."""
        self._log.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def flush(self) -> None:
        """Write out what the log has buffered."""
        if not self._log.closed:
            self._log.flush()

    def _take(self, line: str) -> None:
        line = line.removeprefix(_INDENT).rstrip()
        if line.startswith(BEGIN):
            self._begin(line.removeprefix(BEGIN).strip())
        elif line.startswith(END):
            self._say(f"      done in {self._clock() - self._began_s:.0f} s")
            self.stage = None
            self._at_work = False
        elif line.startswith(FAILED):
            self._at_work = False
        elif line and not _OF_KFP.match(line):
            self._last_lines.append(line)
            if self._at_work:
                self._say(f"      {line}")

    def _begin(self, stage: str) -> None:
        self.stage = stage
        self._at_work = True
        self._began_s = self._clock()
        self._last_lines.clear()
        number = self._stages.index(stage) + 1 if stage in self._stages else 0
        self._say(f"[{number}/{len(self._stages)}] {stage}")
