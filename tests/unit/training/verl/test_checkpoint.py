from pathlib import Path

import pytest

from visionthink.errors import StorageError
from visionthink.storage import Store, open_store
from visionthink.training.verl.checkpoint import (
    LATEST,
    keep_last,
    mark_saved,
    restore,
    saved_metrics,
    saved_steps,
    step_folder,
    upload,
)


def save(checkpoints: Path, step: int, *, whole: bool = True) -> Path:
    folder = step_folder(checkpoints, step)
    (folder / "actor").mkdir(parents=True)
    (folder / "actor" / "model.pt").write_text(f"weights of {step}")
    (folder / "data.pt").write_text("place")
    if whole:
        mark_saved(folder, {"reward/mean": 0.5, "timing_s/unknown": 1.0})
    return folder


def test_what_was_known_of_a_step_is_with_its_checkpoint_also_from_the_store(tmp_path: Path) -> None:
    restored(tmp_path / "disk", stored(tmp_path, 5))
    assert saved_metrics(step_folder(tmp_path / "disk", 5)) == {"reward/mean": 0.5}


def stored(folder: Path, *steps: int) -> Store:
    store = open_store(str(folder / "store"))
    for step in steps:
        upload(save(folder / "elsewhere", step), store, "a-run")
    return store


def restored(checkpoints: Path, store: Store | None = None) -> int:
    return restore(checkpoints, store, "a-run", say=lambda line: None)


def test_without_a_checkpoint_training_begins_anew(tmp_path: Path) -> None:
    assert restored(tmp_path / "none") == 0 == restored(tmp_path / "none", stored(tmp_path))


def test_a_checkpoint_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    save(tmp_path, 2)
    save(tmp_path, 4, whole=False)
    (tmp_path / LATEST).write_text("")  # killed while it was written
    assert restored(tmp_path) == 2
    assert (tmp_path / LATEST).read_text() == "2" and not step_folder(tmp_path, 4).exists()


def test_only_unfinished_ones_are_none(tmp_path: Path) -> None:
    save(tmp_path, 2, whole=False)
    (tmp_path / LATEST).write_text("2")
    assert restored(tmp_path) == 0 and not (tmp_path / LATEST).exists()


def test_an_empty_disk_gets_the_last_one_of_the_store(tmp_path: Path) -> None:
    store, fresh = stored(tmp_path, 2, 4, 10), tmp_path / "fresh"
    assert restored(fresh, store) == 10
    assert (step_folder(fresh, 10) / "actor" / "model.pt").read_text() == "weights of 10"
    assert saved_steps(fresh) == [10] and (fresh / LATEST).read_text() == "10"


def test_a_copy_in_the_store_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    store, fresh = stored(tmp_path, 2), tmp_path / "fresh"
    store.write("a-run/checkpoints/global_step_4/actor/model.pt", b"half")
    store.write("other/checkpoints/global_step_9/manifest.json", b"{}")
    assert restored(fresh, store) == 2


def test_what_is_newer_on_disk_is_taken_from_there(tmp_path: Path) -> None:
    store = stored(tmp_path, 2)
    save(tmp_path / "disk", 4)
    assert restored(tmp_path / "disk", store) == 4


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    for step in (2, 4, 6, 10):
        save(tmp_path, step)
    save(tmp_path, 12, whole=False)
    keep_last(tmp_path, 2)
    assert saved_steps(tmp_path) == [6, 10]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["global_step_10", "global_step_12", "global_step_6"]


def test_a_step_is_published_once_and_never_changed(tmp_path: Path) -> None:
    store = stored(tmp_path, 2)
    upload(step_folder(tmp_path / "elsewhere", 2), store, "a-run")
    (step_folder(tmp_path / "elsewhere", 2) / "data.pt").write_text("another")
    with pytest.raises(StorageError, match="never changes"):
        upload(step_folder(tmp_path / "elsewhere", 2), store, "a-run")
