"""A program: carry out the plan of a training by veRL that lies in a folder, and note each step there."""

import sys
from pathlib import Path

from visionthink.config import parse_config
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.run import train


def main(folder: Path) -> None:
    def note(line: str) -> None:
        with (folder / "notes").open("a") as file:
            file.write(f"{line}\n")

    train(
        VerlPlan.from_json((folder / "plan.json").read_text()),
        parse_config((folder / "config.json").read_text()),
        on_step=lambda step, _: note(f"step {step}"),
        say=note,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
