"""The throw-away readouts look where they say and tell only classes that exist."""

import math
import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from visionthink.datasets.world import GRID, SCATTERED, Layout
from visionthink.model.attribute import ATTRIBUTES, SCATTERED_ATTRIBUTES
from visionthink.model.probe import Glance, Readout, Search

WIDTH = 8
GLANCED = tuple(attribute for attribute in ATTRIBUTES if attribute.panel)


def drawn(count: int, layout: Layout[Any] = GRID) -> list[Any]:
    rng = random.Random(0)
    return [layout.draw(rng) for _ in range(count)]


def test_a_readout_never_names_a_class_that_an_attribute_lacks() -> None:
    logits = Readout(WIDTH, ATTRIBUTES)(torch.randn(50, len(ATTRIBUTES), WIDTH) * 10)
    named = logits.argmax(-1).max(dim=0).values
    assert all(int(most) < attribute.num_classes for most, attribute in zip(named, ATTRIBUTES, strict=True))


def test_a_search_finds_a_token_wherever_it_stands() -> None:
    scenes = drawn(2)
    search, tokens = Search(WIDTH, ATTRIBUTES), torch.randn(2, 16, WIDTH)
    torch.testing.assert_close(search(tokens, scenes), search(tokens[:, torch.randperm(16)], scenes))
    assert search(tokens, scenes).shape[:2] == (2, len(ATTRIBUTES))


def test_a_search_asks_for_a_tag_by_its_color_and_for_all_else_without() -> None:
    (scene,) = drawn(1, SCATTERED)
    first, second = scene.tags
    tokens = torch.randn(1, 64, WIDTH)
    search = Search(WIDTH, SCATTERED_ATTRIBUTES)
    logits, swapped = search(tokens, [scene]), search(tokens, [replace(scene, tags=(second, first))])
    for index, attribute in enumerate(SCATTERED_ATTRIBUTES):
        assert torch.equal(logits[:, index], swapped[:, index]) == (attribute.hue is None), attribute.name
    of_tags = [index for index, attribute in enumerate(SCATTERED_ATTRIBUTES) if attribute.hue]
    names = [SCATTERED_ATTRIBUTES[index].name for index in of_tags]
    other = [of_tags[names.index(name, names.index(name) + 1)] for name in dict.fromkeys(names)]
    one = [of_tags[names.index(name)] for name in dict.fromkeys(names)]
    torch.testing.assert_close(logits[:, one], swapped[:, other])


@pytest.mark.parametrize("num_tokens", [16, 64], ids=["quarter view", "full view"])
def test_a_search_that_is_told_reads_the_tokens_that_show_the_panel_and_no_other(num_tokens: int) -> None:
    (scene,) = drawn(1, SCATTERED)
    search, tokens = Search(WIDTH, SCATTERED_ATTRIBUTES), torch.randn(1, num_tokens, WIDTH, requires_grad=True)
    logits, per_row = search.told(tokens, [scene], SCATTERED), math.isqrt(num_tokens)
    side = SCATTERED.side // per_row
    for index, attribute in enumerate(SCATTERED_ATTRIBUTES):
        (gradient,) = torch.autograd.grad(logits[0, index, : attribute.num_classes].sum(), tokens, retain_graph=True)
        assert attribute.panel is not None
        left, top, right, bottom = SCATTERED.panel_box(scene, attribute.panel).edges
        want = {
            row * per_row + column
            for row in range(top // side, -(-bottom // side))
            for column in range(left // side, -(-right // side))
        }
        assert set(gradient[0].abs().sum(-1).nonzero().flatten().tolist()) == want, attribute.name


def test_nobody_can_be_told_where_to_look_for_what_no_panel_shows() -> None:
    with pytest.raises(ValueError, match="panel"):
        Search(WIDTH, ATTRIBUTES).told(torch.randn(1, 16, WIDTH), drawn(1), GRID)


def test_a_glance_sees_the_four_tokens_of_its_panel_alone() -> None:
    scenes = drawn(6)
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
