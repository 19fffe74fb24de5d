"""veRL's numbers of a step under our names. Pure.

Rule: a number has one name, wherever it was computed. What the group hook counts comes under it already; of veRL's own
numbers those that mean the same are renamed, and the rest (a hundred, most of them about veRL) stays in veRL's log.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from visionthink import metrics as m

_SAME: Final[Mapping[str, m.Metric]] = {
    "actor/kl_loss": m.POLICY_KL,
    "actor/entropy": m.POLICY_ENTROPY,
    "actor/pg_clipfrac": m.POLICY_CLIP_RATIO,
    "actor/grad_norm": m.OPTIM_GRAD_NORM,
    "actor/lr": m.OPTIM_LEARNING_RATE,
    "timing_s/step": m.PERF_STEP_S,
    "timing_s/gen": m.PERF_ROLLOUT_S,
}
"""Where veRL computes what the local trainer does, by veRL's name (0.9.1)."""
_OURS: Final = {metric.key() for metric in m.METRICS if not metric.labels}


class Step(NamedTuple):
    """A training step that veRL has taken."""

    number: int
    """From 1."""
    metrics: Mapping[str, float]
    """By registered name."""


def read_steps(text: str) -> Iterator[Step]:
    """The steps in lines of veRL's file logger; a line that is still being written is left out."""
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            return
        told = json.loads(line)
        if "timing_s/step" in told["data"]:  # a validation has a line of its own
            yield Step(int(told["step"]), step_metrics(told["data"]))


def step_metrics(told: Mapping[str, object]) -> Mapping[str, float]:
    """What veRL tells of a step, by registered name; what is no finite number is left out."""
    numbers = {
        name: float(value)
        for name, value in told.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    named = {metric.key(): numbers[name] for name, metric in _SAME.items() if name in numbers}
    named |= {name: value for name, value in numbers.items() if name in _OURS}
    if (step_s := named.get(m.PERF_STEP_S.key())) is not None:
        named[m.PERF_TRAIN_S.key()] = step_s - named.get(m.PERF_ROLLOUT_S.key(), 0.0)
    return named
