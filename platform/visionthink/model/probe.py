"""Throw-away readouts that teach the vision tower to see.

`Search` asks for an attribute as the language model will: a learned query attends over all tokens of a view, and a
linear map reads what it finds. So the tower learns features that can be found by content and read by a linear map,
which is all that the language model's attention can do. Found features cannot be learned before there are any: alone
this stays at chance for five hundred steps. `Glance` is told which tokens to look at, learns to read at once, and so
gives `Search` something to find.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

from visionthink.datasets.world.scene import Scene
from visionthink.model.attribute import Attribute

_KEY_WIDTH: Final = 64
_TEMPERATURE: Final = 4.0
_PANEL_SIDE: Final = 2
"""Tokens along a panel's side in the full view."""


class Readout(nn.Module):
    """Linear maps from what was found to classes. B views, K attributes, F features, C classes at most."""

    def __init__(self, width: int, attributes: Sequence[Attribute]) -> None:
        """One map per attribute, from `width` features."""
        super().__init__()
        counts = torch.tensor([attribute.num_classes for attribute in attributes])
        most = int(counts.max())
        self.weight = nn.Parameter(torch.randn(len(attributes), width, most) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(len(attributes), most))
        self.register_buffer("allowed", torch.arange(most).unsqueeze(0) < counts.unsqueeze(1))

    def forward(self, found: torch.Tensor) -> torch.Tensor:
        """[B, K, F] to logits [B, K, C]; classes that an attribute does not have are very unlikely."""
        logits = torch.einsum("bkf,kfc->bkc", found, self.weight) + self.bias
        return logits.masked_fill(~self.get_buffer("allowed"), -1e4)


class Search(nn.Module):
    """Reads attributes after finding them among all tokens of a view."""

    def __init__(self, width: int, attributes: Sequence[Attribute]) -> None:
        """Over tokens of `width`."""
        super().__init__()
        self.keys = nn.Linear(width, _KEY_WIDTH)
        self.queries = nn.Parameter(torch.randn(len(attributes), _KEY_WIDTH) * 0.5)
        self.readout = Readout(width, attributes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, N, D] to logits [B, K, C]."""
        attention = torch.softmax(self.keys(tokens) @ self.queries.T / _TEMPERATURE, dim=1)
        logits: torch.Tensor = self.readout(torch.einsum("bnk,bnd->bkd", attention, tokens))
        return logits


class Glance(nn.Module):
    """Reads attributes off the four tokens of their panel in the full view."""

    def __init__(self, width: int, attributes: Sequence[Attribute]) -> None:
        """Over tokens of `width`; attributes without a panel are refused."""
        super().__init__()
        self._panels = [attribute.panel for attribute in attributes]
        if None in self._panels:
            raise ValueError("an attribute without a panel cannot be glanced at")
        self.readout = Readout(_PANEL_SIDE**2 * width, attributes)

    def forward(self, tokens: torch.Tensor, scenes: Sequence[Scene]) -> torch.Tensor:
        """[B, 16, D] and their scenes to logits [B, K, C]."""
        places = torch.tensor(
            [[_places(scene.panels.index(panel)) for panel in self._panels if panel] for scene in scenes]
        )
        rows = torch.arange(len(scenes)).view(-1, 1, 1)
        logits: torch.Tensor = self.readout(tokens[rows, places].flatten(2))
        return logits


def _places(corner: int) -> list[int]:
    """The tokens of a corner's panel, in a full view of two panels by two."""
    per_row = 2 * _PANEL_SIDE
    top, left = _PANEL_SIDE * (corner // 2), _PANEL_SIDE * (corner % 2)
    return [(top + y) * per_row + left + x for y in range(_PANEL_SIDE) for x in range(_PANEL_SIDE)]
