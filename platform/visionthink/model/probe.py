"""Throw-away readouts that teach the vision tower to see.

`Search` asks for an attribute as the language model will: a learned query attends over all tokens of a view, and a
linear map reads what it finds. So the tower learns features that can be found by content and read by a linear map,
which is all that the language model's attention can do. Found features cannot be learned before there are any: alone
this stays at chance for five hundred steps. `Glance` is told which tokens to look at, learns to read at once, and so
gives `Search` something to find. Among many tokens that is not enough, so there `Search` itself is also told where to
look (`Search.told`): then its linear map reads already what it has yet to find.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import nn

from visionthink.core.geometry import TOKEN_SIDE, Box
from visionthink.datasets.world.layout import GRID, Layout
from visionthink.datasets.world.scene import COLORS
from visionthink.model.attribute import Attribute

_KEY_WIDTH: Final = 64
_TEMPERATURE: Final = 4.0
_PANEL_SIDE: Final = 2
"""Tokens along a panel's side in the full view."""


def _kinds(attributes: Sequence[Attribute]) -> tuple[int, list[int]]:
    """How many names the attributes have, and the number of each one's."""
    names = list(dict.fromkeys(attribute.name for attribute in attributes))
    return len(names), [names.index(attribute.name) for attribute in attributes]


class Readout(nn.Module):
    """Linear maps from what was found to classes. B views, K attributes, F features, C classes at most."""

    def __init__(self, width: int, attributes: Sequence[Attribute]) -> None:
        """One map per name of an attribute, from `width` features."""
        super().__init__()
        counts = torch.tensor([attribute.num_classes for attribute in attributes])
        most = int(counts.max())
        num_kinds, self._kinds = _kinds(attributes)
        self.weight = nn.Parameter(torch.randn(num_kinds, width, most) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(num_kinds, most))
        self.register_buffer("allowed", torch.arange(most).unsqueeze(0) < counts.unsqueeze(1))

    def forward(self, found: torch.Tensor) -> torch.Tensor:
        """[B, K, F] to logits [B, K, C]; classes that an attribute does not have are very unlikely."""
        logits = torch.einsum("bkf,kfc->bkc", found, self.weight[self._kinds]) + self.bias[self._kinds]
        return logits.masked_fill(~self.get_buffer("allowed"), -1e4)


class Search(nn.Module):
    """Reads attributes after finding them among all tokens of a view."""

    def __init__(self, width: int, attributes: Sequence[Attribute]) -> None:
        """Over tokens of `width`."""
        super().__init__()
        self._attributes = tuple(attributes)
        num_kinds, self._kinds = _kinds(attributes)
        self.keys = nn.Linear(width, _KEY_WIDTH)
        self.queries = nn.Parameter(torch.randn(num_kinds, _KEY_WIDTH) * 0.5)
        self.readout = Readout(width, attributes)
        self.hues = nn.Embedding(len(COLORS), _KEY_WIDTH) if any(one.hue for one in attributes) else None

    def forward(self, tokens: torch.Tensor, scenes: Sequence[Any]) -> torch.Tensor:
        """[B, N, D] and their scenes, of which nothing but the colors asked for is read, to logits [B, K, C]."""
        scores = self.keys(tokens) @ self._asked(scenes).mT / _TEMPERATURE
        attention = torch.softmax(scores, dim=1)
        logits: torch.Tensor = self.readout(torch.einsum("bnk,bnd->bkd", attention, tokens))
        return logits

    def told(self, tokens: torch.Tensor, scenes: Sequence[Any], layout: Layout[Any]) -> torch.Tensor:
        """What `forward` gives, with the attention that each attribute deserves: on its panel alone, spread evenly."""
        attention = _shares(scenes, self._attributes, layout, tokens.shape[1])
        logits: torch.Tensor = self.readout(torch.einsum("bkn,bnd->bkd", attention, tokens))
        return logits

    def _asked(self, scenes: Sequence[Any]) -> torch.Tensor:
        """Queries [K, W]; [B, K, W] where they hold the color of what is meant."""
        queries = self.queries[self._kinds]
        if self.hues is None:
            return queries
        named = torch.tensor([[one.hue is not None for one in self._attributes]]).unsqueeze(-1)
        hues = torch.tensor([[one.hue(scene) if one.hue else 0 for one in self._attributes] for scene in scenes])
        meant: torch.Tensor = self.hues(hues) * named
        return queries + meant


class Glance(nn.Module):
    """Reads attributes off the four tokens of their panel in the full view."""

    def __init__(self, width: int, attributes: Sequence[Attribute], layout: Layout[Any] = GRID) -> None:
        """Over tokens of `width`; attributes without a panel are refused."""
        super().__init__()
        self._layout = layout
        self._panels = [attribute.panel for attribute in attributes]
        if None in self._panels:
            raise ValueError("an attribute without a panel cannot be glanced at")
        self.readout = Readout(_PANEL_SIDE**2 * width, attributes)

    def forward(self, tokens: torch.Tensor, scenes: Sequence[Any]) -> torch.Tensor:
        """[B, N, D] of full views and their scenes to logits [B, K, C]."""
        per_row = self._layout.side // TOKEN_SIDE
        places = torch.tensor(
            [
                [_places(self._layout.panel_box(scene, panel), per_row) for panel in self._panels if panel]
                for scene in scenes
            ]
        )
        rows = torch.arange(len(scenes)).view(-1, 1, 1)
        logits: torch.Tensor = self.readout(tokens[rows, places].flatten(2))
        return logits


def _shares(
    scenes: Sequence[Any], attributes: Sequence[Attribute], layout: Layout[Any], num_tokens: int
) -> torch.Tensor:
    """How much of an attribute's panel each of the tokens of a square view of the whole shows, [B, K, N]."""
    panels = [attribute.panel for attribute in attributes]
    if None in panels:
        raise ValueError("of an attribute without a panel nobody can tell where to look")
    boxes = torch.tensor([[layout.panel_box(scene, panel).edges for panel in panels if panel] for scene in scenes])
    side = layout.side / math.isqrt(num_tokens)
    starts = torch.arange(math.isqrt(num_tokens)) * side
    across, down = (
        (torch.minimum(boxes[..., high, None], starts + side) - torch.maximum(boxes[..., low, None], starts)).clamp(
            min=0
        )
        / (boxes[..., high, None] - boxes[..., low, None])
        for low, high in ((0, 2), (1, 3))
    )
    return (down.unsqueeze(-1) * across.unsqueeze(-2)).flatten(2)


def _places(box: Box, per_row: int) -> list[int]:
    """The tokens of a panel in a full view."""
    left, top = box.left // TOKEN_SIDE, box.top // TOKEN_SIDE
    return [(top + y) * per_row + left + x for y in range(_PANEL_SIDE) for x in range(_PANEL_SIDE)]
