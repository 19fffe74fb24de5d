"""What the tower of the model of regions learns first: where in the picture each of its tokens stands.

Rule: nothing else about a token changes more than it must. The language model knows what the tower's tokens mean, so
the loss holds them against those of the tower that it learned with. Alone, the tower tells where a big shape stands,
because it was once asked that; of a chart it tells little more than chance, and no language model can name a place that
is not in what it sees.
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
from visionthink.picture import cut

_KEEP_WEIGHT: Final = 1.0
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
        self._readout = nn.Linear(int(cast("Any", model).config.text_config.hidden_size), len(REGIONS))

    def parameters(self) -> list[torch.nn.Parameter]:
        """What the phase trains: the tower and the readout."""
        return [*self._tower.parameters(), *self._readout.parameters()]

    def loss(self) -> tuple[torch.Tensor, float]:
        """The loss of a fresh batch, and the share of tokens of its quarter views whose place is read right."""
        pictures = [paint(next(self._scenes)) for _ in range(self._batch_size)]
        quarter, full = self._wholes
        changed, (read, place_loss) = self._changed(pictures, quarter)
        changed_full, (_, place_loss_full) = self._changed(pictures[:_NUM_FULL], full)
        window = self._rng.choice(self._windows)
        new, old = self._seen(pictures[:_NUM_WINDOWS], window)
        changed = changed + changed_full + _change(new, old)
        return place_loss + place_loss_full + _KEEP_WEIGHT * changed, read

    def _changed(self, pictures: Sequence[Image.Image], view: View) -> tuple[torch.Tensor, tuple[float, torch.Tensor]]:
        """How far tokens moved, the share of them whose quarter is read right, and the loss of reading it."""
        new, old = self._seen(pictures, view)
        places = quarters(view).expand(len(pictures), -1).flatten()
        logits = self._readout(new).flatten(0, 1)
        read = (logits.argmax(-1) == places).float().mean().item()
        return _change(new, old), (read, functional.cross_entropy(logits, places))

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


def quarters(view: View) -> torch.Tensor:
    """The quarter of the picture that each token of a view of all of it stands in, in the order of `REGIONS`."""
    columns, rows = (side // view.multiple for side in (view.size.width, view.size.height))
    return torch.tensor(
        [2 * (2 * row // rows) + 2 * column // columns for row in range(rows) for column in range(columns)]
    )
