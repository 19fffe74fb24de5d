"""What the first node of the training runs, with veRL on its processors: a few steps from questions to a merged model.

Takes the folder of the run, its id, the tracker's address, where checkpoints are kept, and how many steps to take; a
checkpoint is kept every second step.
"""

import itertools
import sys
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig, override_config
from visionthink.core.sample import Sample
from visionthink.datasets.world import generate
from visionthink.model.bundled import bundled_path
from visionthink.storage import open_store
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.rows import store_pictures, training_order, write_rows
from visionthink.training.verl.run import train

NUM_NODES: Final = 2
CONFIG: Final = override_config(
    RunConfig(),
    {
        "train.num_prompts": 4,
        "train.group_size": 2,
        "train.checkpoint_every": 2,
        "train.warmup_steps": 0,
        "train.micro_batch_size": 4,
        "verl.num_storage_units": 1,
        "verl.num_agent_workers": 1,
    },
)


def main(home: Path, run_id: str, tracking_uri: str, checkpoint_store: str, num_steps: str = "2") -> None:
    """Train; started again, go on."""
    config = override_config(CONFIG, {"train.num_steps": int(num_steps)})
    rows = home / "rows.parquet"
    if not rows.exists():
        samples = list(_questions(config.train.num_steps * config.train.num_prompts))
        places = store_pictures(samples, open_store(str(home / "pictures")))
        write_rows(rows, training_order(samples, config.train, seed=0), places)
    plan = VerlPlan(
        train_rows=rows,
        base_model=bundled_path(),
        output=home / "train",
        run_id=run_id,
        num_nodes=NUM_NODES,
        device="cpu",
        tracking_uri=tracking_uri,
        checkpoint_store=checkpoint_store,
        overrides=config.verl.overrides(),
    )
    train(plan, config)


def _questions(count: int) -> list[Sample]:
    """As many that need the full view as do not."""
    made = list(generate("train", 4 * count, seed=11, families=CONFIG.data.families))
    sides = ((one for one in made if one.needs_high_res is side) for side in (True, False))
    return [one for side in sides for one in itertools.islice(side, count // 2)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
