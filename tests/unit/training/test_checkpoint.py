import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from visionthink.errors import DataError
from visionthink.storage import DiskFullError
from visionthink.training.local.checkpoint import checkpoint_step, load_checkpoint, save_checkpoint

LIMIT_BYTES = 100_000


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may outgrow the limit, which the system reports as it reports a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def model_of(width: int, value: float = 0.0) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = torch.nn.Linear(width, width, bias=False)
    torch.nn.init.constant_(model.weight, value)
    return model, torch.optim.AdamW(model.parameters())


def test_checkpoint_restores_weights_and_step(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 20, *model_of(4, 0.5))
    model, optimizer = model_of(4)
    assert load_checkpoint(tmp_path, model, optimizer) == 20 == checkpoint_step(tmp_path)
    assert all(bool((weight == 0.5).all()) for weight in model.parameters())


def test_checkpoint_of_a_later_step_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    for step in (20, 40):
        save_checkpoint(tmp_path, step, *model_of(4))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000040"]


def test_no_checkpoint_is_step_0(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, *model_of(4)) == 0 == checkpoint_step(tmp_path)


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 20, *model_of(4))
    with pytest.raises(DataError, match="is of another model"):
        load_checkpoint(tmp_path, *model_of(5))


@pytest.mark.usefixtures("small_disk")
def test_checkpoint_on_a_full_disk_leaves_the_earlier_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 20, *model_of(4))
    with pytest.raises(DiskFullError, match="step-000040"):
        save_checkpoint(tmp_path, 40, *model_of(400))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000020"]
    assert load_checkpoint(tmp_path, *model_of(4)) == 20
