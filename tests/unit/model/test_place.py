"""The tower learns where every panel stands, and what else its tokens told stays."""

import random

import torch
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.config import ViewConfig
from visionthink.model.place import PlacePhase

RULE = ViewConfig().rule()


def phase(batch_size: int = 4) -> PlacePhase:
    model = tiny_model()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PlacePhase(model, tiny_processor(), rule=RULE, batch_size=batch_size, rng=random.Random(0))


def test_the_tower_and_its_readout_learn_and_the_loss_falls() -> None:
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


def test_tokens_that_move_cost() -> None:
    still, moved = phase(), phase()
    with torch.no_grad():
        for weight in moved.parameters()[:-2]:  # all but the readout
            weight.mul_(1.5)
        assert moved.loss()[0] > still.loss()[0]
