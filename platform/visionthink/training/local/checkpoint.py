"""Training checkpoints: everything a killed run needs to go on exactly where it stood.

Rule: what a step does follows from the seed and the step's number alone, so weights, optimizer and step are the whole
state. A checkpoint is a folder that appears at once, complete (`atomic_dir`); older ones are removed after that.
"""

import shutil
from pathlib import Path
from typing import Any, Final

import torch

from visionthink.errors import DataError
from visionthink.model.writing import weights_written
from visionthink.storage import atomic_dir

_PREFIX: Final = "step-"


def save_checkpoint(folder: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Keep the state after `step` steps in `folder`, and drop the older states there.

    Raises:
        DiskFullError: no room; the older state is untouched.
    """
    path = folder / f"{_PREFIX}{step:06d}"
    state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    # A file of our own: torch's own writer does not say that the disk is full.
    with atomic_dir(path, replace=True) as new, weights_written(path), (new / "state.pt").open("wb") as file:
        torch.save(state, file)
    for old in _checkpoints(folder):
        if old != path:
            shutil.rmtree(old)


def load_checkpoint(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore the newest state and return its step; 0 when there is none.

    Raises:
        DataError: the state does not fit the model.
    """
    found = _checkpoints(folder)
    if not found:
        return 0
    state: dict[str, Any] = torch.load(found[-1] / "state.pt", weights_only=True, map_location="cpu")
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise DataError(f"checkpoint {found[-1]} is of another model: {error}; remove it to start anew") from error
    return int(state["step"])


def checkpoint_step(folder: Path) -> int:
    """The step of the newest state; 0 when there is none."""
    found = _checkpoints(folder)
    return int(found[-1].name.removeprefix(_PREFIX)) if found else 0


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir() and path.suffix == "")
