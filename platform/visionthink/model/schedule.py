"""Learning rates of supervised phases: a short rise, then a cosine down to a twentieth."""

import math
from typing import Final

_WARMUP_STEPS: Final = 50
_FLOOR: Final = 0.05


def cosine_rate(step: int, num_steps: int, peak: float) -> float:
    """The rate of step `step`, counted from 0."""
    rise = min(1.0, (step + 1) / _WARMUP_STEPS)
    fall = 0.5 * (1 + math.cos(math.pi * step / num_steps))
    return peak * rise * (_FLOOR + (1 - _FLOOR) * fall)
