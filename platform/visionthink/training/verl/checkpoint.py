"""Checkpoints of a training by veRL: which are whole, which are kept, and how an empty disk gets the last one.

Rule: veRL writes a folder file after file, and then the number of the step in a file beside it, neither of them at
once. So a folder counts only when our mark stands in it, written after everything else, and before veRL starts again
the number is set to the last folder that counts. In a store a checkpoint is whole when its manifest is there.

veRL tells a step behind its checkpoint, and may end between the two. So the mark holds what was known of the step.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from visionthink.storage import Store, atomic_write, fetch_tree, publish_tree
from visionthink.storage.manifest import MANIFEST
from visionthink.training.verl.steps import step_metrics

MARK: Final = "saved"
"""The file that makes a folder whole."""
LATEST: Final = "latest_checkpointed_iteration.txt"
"""Where veRL looks for the step to go on from."""
_FOLDER: Final = re.compile(r"global_step_(\d+)")


def step_folder(checkpoints: Path, step: int) -> Path:
    """The folder that veRL keeps a step in."""
    return checkpoints / f"global_step_{step}"


def saved_steps(checkpoints: Path) -> list[int]:
    """The steps with a whole checkpoint on disk, in order."""
    return sorted(step for step, folder in _folders(checkpoints) if (folder / MARK).is_file())


def mark_saved(folder: Path, metrics: Mapping[str, float]) -> None:
    """Let a checkpoint count: all of it is written. `metrics` are those of its step that are known by then."""
    atomic_write(folder / MARK, json.dumps(dict(metrics)).encode())


def saved_metrics(folder: Path) -> Mapping[str, float]:
    """What was known of a whole checkpoint's step, by registered name."""
    return step_metrics(json.loads((folder / MARK).read_text(encoding="utf-8") or "{}"))


def keep_last(checkpoints: Path, count: int) -> None:
    """Remove all whole checkpoints but the last `count`, the rest of those that veRL emptied included."""
    kept = set(saved_steps(checkpoints)[-count:])
    last = max(kept, default=0)
    for step, folder in _folders(checkpoints):
        if step not in kept and step < last:
            (folder / MARK).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


def upload(folder: Path, store: Store, run_id: str) -> None:
    """Copy a whole checkpoint to the store, its manifest last.

    Raises:
        StorageError: the store failed, or holds another checkpoint of that step.
    """
    publish_tree(store, _prefix(run_id, folder.name), folder)


def restore(checkpoints: Path, store: Store | None, run_id: str, *, say: Callable[[str], None]) -> int:
    """See to it that veRL goes on from the last whole checkpoint, wherever it is; its step, 0 without one.

    Raises:
        StorageError: the store failed.
    """
    saved = saved_steps(checkpoints)
    stored = [] if store is None else _stored_steps(store, run_id)
    last = max([*saved, *stored, 0])
    for step, folder in _folders(checkpoints):
        if step not in saved or step > last:
            shutil.rmtree(folder)
    if not last:
        (checkpoints / LATEST).unlink(missing_ok=True)
        return 0
    folder = step_folder(checkpoints, last)
    if last not in saved:
        assert store is not None, "a step that is not on disk was found in the store"
        say(f"train: fetching the checkpoint of step {last} from {store.uri}")
        fetch_tree(store, _prefix(run_id, folder.name), folder)
    atomic_write(checkpoints / LATEST, str(last).encode())
    return last


def _folders(checkpoints: Path) -> Iterator[tuple[int, Path]]:
    for folder in sorted(checkpoints.glob("global_step_*")):
        if found := _FOLDER.fullmatch(folder.name):
            yield int(found[1]), folder


def _stored_steps(store: Store, run_id: str) -> list[int]:
    prefix = f"{_prefix(run_id)}/"
    names = (key.removeprefix(prefix).split("/") for key in store.list(prefix) if key.endswith(f"/{MANIFEST}"))
    found = (_FOLDER.fullmatch(name[0]) for name in names if len(name) == 2)
    return [int(match[1]) for match in found if match]


def _prefix(run_id: str, *names: str) -> str:
    return "/".join((run_id, "checkpoints", *names))
