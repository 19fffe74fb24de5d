"""What is told of training steps, whoever took them."""

from collections.abc import Mapping, Sequence
from typing import Final

from visionthink import metrics as m
from visionthink.runs.step_log import StepRecord

_NUM_LAST_STEPS: Final = 10
"""Steps whose mean stands for the end of the training: a single step has few rollouts."""


def note(metrics: Mapping[str, float]) -> str:
    """What a progress line says of the last step."""
    parts = [f"reward {reward:.2f}" if (reward := metrics.get(m.REWARD_MEAN.key())) is not None else "nothing graded"]
    rates = (("needed", m.RESIZE_RATE_NEEDED), ("not needed", m.RESIZE_RATE_NOT_NEEDED))
    asked = [f"{metrics[metric.key()]:.0%} where {name}" for name, metric in rates if metric.key() in metrics]
    if asked:
        parts.append(f"asks {' and '.join(asked)}")
    return ", ".join(parts)


def final_metrics(steps: Sequence[StepRecord]) -> dict[str, float]:
    """Means over the last steps, times left out: they say nothing of the model."""
    last = steps[-_NUM_LAST_STEPS:]
    keys = {key for record in last for key in record.metrics if m.lookup(key).unit is not m.Unit.SECONDS}
    means = {}
    for key in sorted(keys):
        values = [record.metrics[key] for record in last if key in record.metrics]
        means[key] = sum(values) / len(values)
    return means
