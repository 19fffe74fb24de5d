"""The learning rate as a function of the step: rise, hold, fall in a line.

Rule: the lower of the rising and the falling line, so that it never jumps, however short the run. The fall lets the
last steps settle what the steps at the peak found out.
"""

from visionthink.config import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of optimizer step `step`, counted from 0."""
    num_held = round(config.num_steps * config.hold_ratio)
    risen = (step + 1) / max(config.warmup_steps, 1)
    fallen = max(step - num_held, 0) / max(config.num_steps - num_held, 1)
    return config.learning_rate * min(1.0, risen, max(config.final_lr_ratio, 1.0 - fallen))
