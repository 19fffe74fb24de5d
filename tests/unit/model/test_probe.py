"""The throw-away readouts look where they say and tell only classes that exist."""

import random

import pytest
import torch

from visionthink.datasets.world import draw_scene
from visionthink.model.attribute import ATTRIBUTES
from visionthink.model.probe import Glance, Readout, Search

WIDTH = 8
GLANCED = tuple(attribute for attribute in ATTRIBUTES if attribute.panel)


def test_a_readout_never_names_a_class_that_an_attribute_lacks() -> None:
    logits = Readout(WIDTH, ATTRIBUTES)(torch.randn(50, len(ATTRIBUTES), WIDTH) * 10)
    named = logits.argmax(-1).max(dim=0).values
    assert all(int(most) < attribute.num_classes for most, attribute in zip(named, ATTRIBUTES, strict=True))


def test_a_search_finds_a_token_wherever_it_stands() -> None:
    search, tokens = Search(WIDTH, ATTRIBUTES), torch.randn(2, 16, WIDTH)
    torch.testing.assert_close(search(tokens), search(tokens[:, torch.randperm(16)]))
    assert search(tokens).shape[:2] == (2, len(ATTRIBUTES))


def test_a_glance_sees_the_four_tokens_of_its_panel_alone() -> None:
    rng = random.Random(0)
    scenes = [draw_scene(rng) for _ in range(6)]
    glance, tokens = Glance(WIDTH, GLANCED), torch.randn(6, 16, WIDTH, requires_grad=True)
    logits = glance(tokens, scenes)
    for index, attribute in enumerate(GLANCED):
        (gradient,) = torch.autograd.grad(logits[:, index, : attribute.num_classes].sum(), tokens, retain_graph=True)
        for scene, seen in zip(scenes, gradient.abs().sum(-1).view(6, 4, 4), strict=True):
            assert attribute.panel is not None
            top, left = divmod(scene.panels.index(attribute.panel), 2)
            want = torch.zeros(4, 4, dtype=torch.bool)
            want[2 * top : 2 * top + 2, 2 * left : 2 * left + 2] = True
            assert torch.equal(seen > 0, want), (attribute.name, scene.panels)


def test_a_glance_at_what_no_panel_shows_is_refused() -> None:
    with pytest.raises(ValueError, match="panel"):
        Glance(WIDTH, ATTRIBUTES)
