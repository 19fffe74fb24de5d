"""A program: carry out the plan of a training by veRL that lies in a folder, and say each step."""

import sys
from pathlib import Path

from visionthink.config import parse_config
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.run import train


def main(folder: Path) -> None:
    train(
        VerlPlan.from_json((folder / "plan.json").read_text()),
        parse_config((folder / "config.json").read_text()),
        on_step=lambda step, _: print(f"took step {step}", flush=True),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
