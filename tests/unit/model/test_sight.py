"""The first phase trains the tower and its readouts on what a view can show."""

import random
from typing import Any, cast

import pytest
import torch
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.config import ViewConfig
from visionthink.model.sight import SightPhase


def phase(seed: int = 0, batch_size: int = 10) -> tuple[Any, SightPhase]:
    model = cast("Any", tiny_model())
    torch.manual_seed(0)  # of the readouts
    rng = random.Random(seed)
    return model, SightPhase(model, tiny_processor(), rule=ViewConfig().rule(), batch_size=batch_size, rng=rng)


def test_the_tower_and_the_readouts_are_trained_and_nothing_else() -> None:
    model, sight = phase()
    loss, accuracy = sight.loss()
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in sight.parameters())
    assert all(parameter.grad is None for parameter in model.model.language_model.parameters())
    assert {id(parameter) for parameter in model.model.visual.parameters()} < set(map(id, sight.parameters()))
    assert 0 <= accuracy <= 1


def test_a_random_tower_reads_no_better_than_chance() -> None:
    _, sight = phase(batch_size=60)
    with torch.no_grad():
        accuracies = [sight.loss()[1] for _ in range(3)]
    assert sum(accuracies) / 3 == pytest.approx(1 / 12, abs=0.05)


def test_each_loss_is_of_fresh_pictures_and_the_random_numbers_fix_them() -> None:
    (_, first), (_, again), (_, other) = phase(1), phase(1), phase(2)
    with torch.no_grad():
        losses = [sight.loss()[0].item() for sight in (first, first, again, other)]
    assert losses[0] == losses[2]
    assert len(set(losses)) == 3
