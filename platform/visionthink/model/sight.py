"""First phase of pretraining: the vision tower learns to see what a picture holds.

A tower whose model is to look at regions also sees pictures as their four windows, and learns where each panel stands:
what the tower does not put into its tokens here, no later phase reads off them.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from PIL import Image
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from visionthink.core.closer_look import REGIONS, named_view
from visionthink.core.geometry import View, ViewRule, full_view, quarter_view
from visionthink.datasets.world.generate import scenes
from visionthink.datasets.world.layout import GRID, SCATTERED, Layout
from visionthink.model.attribute import ATTRIBUTES, PLACED_ATTRIBUTES, SCATTERED_ATTRIBUTES, Attribute
from visionthink.model.probe import Glance, Search
from visionthink.picture import cut

_UNSEEN: Final = -100
"""In place of a class that is not to be read; cross entropy leaves it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sights:
    """What a tower is shown and asked."""

    attributes: tuple[Attribute, ...]
    """Coarse ones first."""
    full_ratio: float
    """Of the pictures of a batch, those that are shown in full ..."""
    window_ratio: float
    """... and as their four windows, each for itself; the others are shown in the quarter view."""
    coarse_weight: float = 0.5
    """Of the loss of quarter views."""
    layout: Layout[Any] = GRID
    tells: bool = False
    """Whether the search is also told where to look for what is coarse: among many tokens it does not find out in
    time."""


WHOLE_SIGHTS: Final = Sights(attributes=ATTRIBUTES, full_ratio=0.8, window_ratio=0.0)
REGION_SIGHTS: Final = Sights(attributes=PLACED_ATTRIBUTES, full_ratio=0.5, window_ratio=0.3)
SCATTERED_SIGHTS: Final = Sights(
    attributes=SCATTERED_ATTRIBUTES,
    full_ratio=0.35,
    window_ratio=0.2,
    coarse_weight=1.0,
    layout=SCATTERED,
    tells=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """B views of one size: what the tower makes of them, and what their scenes hold."""

    scenes: Sequence[Any]
    tokens: torch.Tensor
    """[B, N, D]."""


class SightPhase:
    """Losses of the phase; its readouts are thrown away afterwards."""

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        processor: Qwen2_5_VLProcessor,
        *,
        rule: ViewRule,
        batch_size: int,
        rng: random.Random,
        sights: Sights = WHOLE_SIGHTS,
    ) -> None:
        """Learn from the world's pretraining split."""
        self._tower = cast("Any", model).model.visual
        self._processor = processor
        self._layout, size, self._tells = sights.layout, sights.layout.size, sights.tells
        self._coarse_weight = sights.coarse_weight
        self._full, self._quarter = full_view(size, rule), quarter_view(size, rule)
        self._windows = [named_view(region, size, rule) for region in REGIONS]
        self._num_full = round(batch_size * sights.full_ratio)
        self._num_windows = round(batch_size * sights.window_ratio)
        self._batch_size = batch_size
        self._scenes = scenes("pretrain", rng, self._layout)
        self._attributes = sights.attributes
        self._coarse = tuple(attribute for attribute in self._attributes if not attribute.is_fine)
        self._in_panel = [number for number, attribute in enumerate(self._attributes) if attribute.panel]
        self._glanced = tuple(self._attributes[number] for number in self._in_panel)
        width = int(cast("Any", model).config.text_config.hidden_size)
        self._search, self._glance = Search(width, self._attributes), Glance(width, self._glanced, self._layout)

    def parameters(self) -> list[torch.nn.Parameter]:
        """What the phase trains: the tower and the readouts."""
        return [*self._tower.parameters(), *self._search.parameters(), *self._glance.parameters()]

    def loss(self) -> tuple[torch.Tensor, float]:
        """The loss of a fresh batch, and the share of fine attributes that the search read right in its full views."""
        drawn = [next(self._scenes) for _ in range(self._batch_size)]
        num_wholes = self._num_full + self._num_windows
        full = self._looks(drawn[: self._num_full], self._full)
        quarter = self._looks(drawn[num_wholes:], self._quarter)
        logits = self._search(full.tokens, full.scenes)
        loss = _summed(logits, full.scenes, self._attributes) + self._told_loss(full)
        loss = loss + _summed(self._glance(full.tokens, full.scenes), full.scenes, self._glanced)
        coarse = _summed(self._search(quarter.tokens, quarter.scenes), quarter.scenes, self._coarse)
        loss = loss + self._coarse_weight * (coarse + self._told_loss(quarter))
        if self._num_windows:
            loss = loss + self._num_windows / self._num_full * self._windows_loss(drawn[self._num_full : num_wholes])
        fine = _targets(full.scenes, self._attributes[len(self._coarse) :])
        read = logits[:, len(self._coarse) :].argmax(-1) == fine
        return loss, read.float().mean().item()

    def _told_loss(self, looks: Looks) -> torch.Tensor | float:
        """Of the search for coarse attributes where it is told where to look at views of the whole."""
        if not self._tells:
            return 0.0
        return _summed(self._search.told(looks.tokens, looks.scenes, self._layout), looks.scenes, self._coarse)

    def _windows_loss(self, drawn: Sequence[Any]) -> torch.Tensor:
        """Of what panels show, read off the tokens of four windows that were put together as the full view's stand.

        What stands in a panel that no window holds is not asked for.
        """
        painted = [self._layout.paint(scene) for scene in drawn]
        looks = [self._seen(drawn, painted, window).tokens for window in self._windows]
        tokens = mosaic(torch.stack(looks, dim=1))
        targets = _targets(drawn, self._glanced).masked_fill(~self._held(drawn), _UNSEEN)
        searched = self._search(tokens, drawn)[:, self._in_panel]
        glanced = self._glance(tokens, drawn)
        return _cross_entropy(searched, targets) + _cross_entropy(glanced, targets)

    def _held(self, drawn: Sequence[Any]) -> torch.Tensor:
        """Whether one of the four windows shows what is glanced at, [B, K]; none shows a place."""
        boxes = [window.box for window in self._windows if window.box]
        held = [
            [
                not attribute.is_place
                and any(box.contains(self._layout.panel_box(scene, attribute.panel)) for box in boxes)
                for attribute in self._glanced
                if attribute.panel
            ]
            for scene in drawn
        ]
        return torch.tensor(held)

    def _looks(self, drawn: Sequence[Any], view: View) -> Looks:
        return self._seen(drawn, [self._layout.paint(scene) for scene in drawn], view)

    def _seen(self, drawn: Sequence[Any], painted: Sequence[Image.Image], view: View) -> Looks:
        pictures = [cut(picture, view) for picture in painted]
        made = self._processor.image_processor(images=pictures, return_tensors="pt")
        tokens: torch.Tensor = self._tower(made["pixel_values"], grid_thw=made["image_grid_thw"]).pooler_output
        return Looks(scenes=drawn, tokens=tokens.view(len(drawn), -1, tokens.shape[-1]))


def mosaic(windows: torch.Tensor) -> torch.Tensor:
    """Tokens of four square windows [B, 4, N, D], row by row, as those of one view of the whole [B, 4 N, D]."""
    num, _, num_tokens, width = windows.shape
    side = math.isqrt(num_tokens)
    return windows.view(num, 2, 2, side, side, width).transpose(2, 3).reshape(num, -1, width)


def _targets(drawn: Sequence[Any], attributes: Sequence[Attribute]) -> torch.Tensor:
    return torch.tensor([[attribute.read(scene) for attribute in attributes] for scene in drawn])


def _summed(logits: torch.Tensor, drawn: Sequence[Any], attributes: Sequence[Attribute]) -> torch.Tensor:
    """Cross entropy of the first attributes of `logits` [B, K, C], summed over them, mean over views."""
    return _cross_entropy(logits[:, : len(attributes)], _targets(drawn, attributes))


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Of logits [B, K, C] and targets [B, K], summed over attributes, mean over views."""
    losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=_UNSEEN, reduction="sum")
    return losses / len(targets)
