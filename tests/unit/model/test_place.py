"""The tower learns where its tokens stand, and what else it told of them stays."""

import random

import torch
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.config import ViewConfig
from visionthink.core.geometry import Size, full_view, quarter_view
from visionthink.datasets.world import SIDE
from visionthink.model.place import PlacePhase, quarters

RULE = ViewConfig().rule()
SIZE = Size(width=SIDE, height=SIDE)


def phase(batch_size: int = 4) -> PlacePhase:
    model = tiny_model()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PlacePhase(model, tiny_processor(), rule=RULE, batch_size=batch_size, rng=random.Random(0))


def test_every_token_of_a_whole_view_stands_in_its_quarter() -> None:
    assert quarters(quarter_view(SIZE, RULE)).tolist() == [0, 1, 2, 3]
    assert quarters(full_view(SIZE, RULE)).tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]


def test_only_the_tower_and_a_readout_learn_and_the_loss_falls() -> None:
    one = phase()
    optimizer = torch.optim.AdamW(one.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss, accuracy = one.loss()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        assert 0 <= accuracy <= 1
    assert sum(losses[-3:]) < sum(losses[:3])


def test_tokens_that_have_not_moved_cost_nothing() -> None:
    """What is left of the first loss is that of the readout, which knows nothing yet."""
    one = phase()
    loss, _ = one.loss()
    with torch.no_grad():
        for weight in one.parameters()[:-2]:
            weight.mul_(1.5)
    moved, _ = one.loss()
    assert moved > loss
