"""What happens when veRL has saved a checkpoint.

Extension point: `trainer.checkpoint_callback_class`. Rule: glue. A store that is away for a while does not end the
training, because the next checkpoint goes there as well; one that refuses does, because no checkpoint ever will.
"""

from pathlib import Path
from typing import Any

from verl.trainer.ppo.checkpoint_callback import CheckpointCallback

from visionthink.errors import StorageError
from visionthink.storage import open_store
from visionthink.training.verl.checkpoint import keep_last, mark_saved, upload
from visionthink.training.verl.group_sampler import metrics_of


class CheckpointUpload(CheckpointCallback):  # type: ignore[misc]
    """Marks a checkpoint as whole, copies it to the store of the plan, and removes old ones."""

    def on_save(self, trainer: Any, global_step: int, checkpoint_dir: str, async_save: bool = False, **_: Any) -> None:
        """Called by the trainer's own process when all workers have written."""
        del trainer, async_save
        folder, plan = Path(checkpoint_dir), self.config.visionthink
        mark_saved(folder, metrics_of(global_step))
        if plan.checkpoint_store is not None:
            try:
                upload(folder, open_store(plan.checkpoint_store), plan.run_id)
            except StorageError as error:
                if not error.retryable:
                    raise
                print(f"train: the checkpoint of step {global_step} is on disk alone: {error}", flush=True)
        keep_last(folder.parent, int(plan.num_checkpoints))
