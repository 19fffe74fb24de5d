"""What the tower of the model of regions learns first: each of its tokens tells where every panel stands.

Rule: nothing else about a token changes more than it must. The language model knows what the tower's tokens mean, so
the loss holds them against those of the tower that it learned with. That each token tells of all panels matters: what
stands in one token alone is read by a language model that looks at several at once, but a place of its own in each of
them averages out to nothing.
"""

import copy
import random
from collections.abc import Sequence
from typing import Any, Final, cast

import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from visionthink.core.closer_look import REGIONS, named_view
from visionthink.core.geometry import Size, View, ViewRule, full_view, quarter_view
from visionthink.datasets.world.generate import scenes
from visionthink.datasets.world.paint import SIDE, paint
from visionthink.datasets.world.scene import PANELS
from visionthink.picture import cut

_KEEP_WEIGHT: Final = 0.5
"""Of what changed in the tokens, as a share of their variance."""
_NUM_FULL: Final = 6
_NUM_WINDOWS: Final = 12
"""Pictures of a batch that are also seen in full, or through one window; all are seen in the quarter view."""


class PlacePhase:
    """Losses of the phase; its readout is thrown away afterwards."""

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        processor: Qwen2_5_VLProcessor,
        *,
        rule: ViewRule,
        batch_size: int,
        rng: random.Random,
    ) -> None:
        """Learn from the world's pretraining split. The tower at this moment is what later ones are held against."""
        self._tower = cast("Any", model).model.visual
        self._before = copy.deepcopy(self._tower).requires_grad_(False)
        self._processor = processor
        size = Size(width=SIDE, height=SIDE)
        self._wholes = (quarter_view(size, rule), full_view(size, rule))
        self._windows = [named_view(region, size, rule) for region in REGIONS]
        self._batch_size, self._rng = batch_size, rng
        self._scenes = scenes("pretrain", rng)
        width = int(cast("Any", model).config.text_config.hidden_size)
        self._readout = nn.Linear(width, len(PANELS) * len(REGIONS))

    def parameters(self) -> list[torch.nn.Parameter]:
        """What the phase trains: the tower and the readout."""
        return [*self._tower.parameters(), *self._readout.parameters()]

    def loss(self) -> tuple[torch.Tensor, float]:
        """The loss of a fresh batch, and the share of places that are read right off tokens of its quarter views."""
        drawn = [next(self._scenes) for _ in range(self._batch_size)]
        pictures = [paint(scene) for scene in drawn]
        places = torch.tensor([[scene.panels.index(panel) for panel in PANELS] for scene in drawn])
        quarter, full = self._wholes
        loss, read = self._told(pictures, quarter, places)
        loss_full, _ = self._told(pictures[:_NUM_FULL], full, places[:_NUM_FULL])
        new, old = self._seen(pictures[:_NUM_WINDOWS], self._rng.choice(self._windows))
        return loss + loss_full + _KEEP_WEIGHT * _change(new, old), read

    def _told(self, pictures: Sequence[Image.Image], view: View, places: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The loss of reading `places` [B, panels] off every token, and of what else changed; the share read right."""
        new, old = self._seen(pictures, view)
        logits = self._readout(new).unflatten(-1, (len(PANELS), len(REGIONS)))
        targets = places.unsqueeze(1).expand(logits.shape[:-1])
        read = (logits.argmax(-1) == targets).float().mean().item()
        loss = functional.cross_entropy(logits.flatten(0, -2), targets.flatten())
        return loss + _KEEP_WEIGHT * _change(new, old), read

    def _seen(self, pictures: Sequence[Image.Image], view: View) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens [B, N, D] by the tower that learns and by the one before."""
        made = self._processor.image_processor(images=[cut(picture, view) for picture in pictures], return_tensors="pt")
        new, old = (
            tower(made["pixel_values"], grid_thw=made["image_grid_thw"]).pooler_output.view(
                len(pictures), view.visual_tokens, -1
            )
            for tower in (self._tower, self._before)
        )
        return new, old


def _change(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    return (new - old).square().mean() / old.var()
