"""The learning rate as a function of the step: rise, hold, fall in a line.

The fall lets the last steps settle what the steps at the peak found out.
"""

from visionthink.config import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of optimizer step `step`, counted from 0."""
    num_held = round(config.num_steps * config.hold_ratio)
    if step < num_held:
        return config.learning_rate * min(1.0, (step + 1) / max(config.warmup_steps, 1))
    fallen = (step - num_held) / max(config.num_steps - num_held, 1)
    return config.learning_rate * max(config.final_lr_ratio, 1.0 - fallen)
