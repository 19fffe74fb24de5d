"""The steps of a training as lines for a terminal and a pod's log.

Rule: the file that the program writes is read, never the program asked, so that a line costs the training nothing and a
line that cannot be made stops nothing.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from visionthink import metrics as m
from visionthink.runs.progress import duration

_REWARD: Final = (m.REWARD_MEAN.key(), "critic/score/mean")
_RESIZE: Final = (m.RESIZE_RATE.key(),)
_STEP_S: Final = (m.PERF_STEP_S.key(), "timing_s/step")
_TOKENS: Final = ("perf/total_num_tokens",)


def step_line(step: int, num_steps: int, told: Mapping[str, object], *, step_s: float | None) -> str:
    """One step in one line; what the program did not tell is left out.

    `step_s` is what a step takes now, for the time that is left.
    """
    parts = [f"training: step {step}/{num_steps}" if num_steps else f"training: step {step}"]
    if (reward := _number(told, _REWARD)) is not None:
        parts.append(f"reward {reward:.2f}")
    if (rate := _number(told, _RESIZE)) is not None:
        parts.append(f"asks {rate:.0%}")
    own_s, tokens = _number(told, _STEP_S), _number(told, _TOKENS)
    if tokens is not None and own_s:
        parts.append(f"{tokens / own_s:.0f} tokens/s")
    if step_s is not None and num_steps > step:
        parts.append(f"{duration(step_s * (num_steps - step))} left")
    return ", ".join(parts)


class StepLines:
    """Follows a file of steps, as veRL's file logger writes it."""

    def __init__(
        self,
        path: Path | None,
        num_steps: int,
        *,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Tell steps that are written from now on; None tells nothing."""
        self._path, self._num_steps, self._say, self._clock = path, num_steps, say, clock
        self._offset = path.stat().st_size if path is not None and path.exists() else 0
        self._first: tuple[int, float] | None = None

    def follow(self) -> None:
        """Tell the steps that are new. A line that is still being written waits."""
        for line in self._new_lines():
            try:
                told: Any = json.loads(line)
                step, data = int(told["step"]), dict(told["data"])
            except (ValueError, TypeError, KeyError):
                continue
            if _number(data, _STEP_S) is None:
                continue  # a validation
            self._say(step_line(step, self._num_steps, data, step_s=self._step_s(step, data)))

    def _new_lines(self) -> list[bytes]:
        if self._path is None:
            return []
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._offset:
                    self._offset = 0  # a new try began the file anew
                file.seek(self._offset)
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()

    def _step_s(self, step: int, data: Mapping[str, object]) -> float | None:
        """Seconds a step by this process's own clock; before there are two steps, what the program says."""
        now_s = self._clock()
        if self._first is None:
            self._first = (step, now_s)
        first, first_s = self._first
        return (now_s - first_s) / (step - first) if step > first else _number(data, _STEP_S)


def _number(told: Mapping[str, object], names: tuple[str, ...]) -> float | None:
    for name in names:
        value = told.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None
