"""The first phase trains the tower and its readouts on what a view can show."""

import random
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.core.geometry import ViewRule
from visionthink.datasets.world import SCATTERED
from visionthink.model.sight import REGION_SIGHTS, SCATTERED_SIGHTS, WHOLE_SIGHTS, SightPhase, Sights, mosaic


def phase(seed: int = 0, batch_size: int = 10, sights: Sights = WHOLE_SIGHTS) -> tuple[Any, SightPhase]:
    model = cast("Any", tiny_model())
    torch.manual_seed(0)  # of the readouts
    rng = random.Random(seed)
    rule = ViewRule(max_pixels=sights.layout.side**2, min_pixels=sights.layout.side**2)
    return model, SightPhase(model, tiny_processor(), rule=rule, batch_size=batch_size, rng=rng, sights=sights)


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


def test_windows_are_learned_from_as_well() -> None:
    (_, with_windows), (_, without) = (
        phase(batch_size=6, sights=replace(REGION_SIGHTS, full_ratio=0.5, window_ratio=ratio)) for ratio in (0.34, 0.0)
    )
    with torch.no_grad():
        assert with_windows.loss()[0] > without.loss()[0]


def test_tokens_of_windows_stand_where_those_of_the_full_view_do() -> None:
    full = torch.arange(16.0).view(1, 16, 1)
    rows = full.view(4, 4)
    windows = torch.stack([rows[y : y + 2, x : x + 2].flatten() for y in (0, 2) for x in (0, 2)]).view(1, 4, 4, 1)
    assert torch.equal(mosaic(windows), full)


def test_what_no_window_holds_is_not_asked_of_windows() -> None:
    """With every panel across the middle there is nothing to be learned from windows."""
    _, sight = phase(batch_size=4, sights=replace(SCATTERED_SIGHTS, full_ratio=0.5, window_ratio=0.5))
    scenes = [replace(SCATTERED.draw(random.Random(number)), offsets=((84, 0),) * 5) for number in range(2)]
    with torch.no_grad():
        assert sight._windows_loss(scenes) == 0
        assert sight._windows_loss([replace(scene, offsets=((0, 0),) * 5) for scene in scenes]) > 0
