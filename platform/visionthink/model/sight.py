"""First phase of pretraining: the vision tower learns to see what a picture holds."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from visionthink.core.geometry import Size, ViewRule, full_view, quarter_view
from visionthink.datasets.world.generate import scenes
from visionthink.datasets.world.paint import SIDE, paint
from visionthink.datasets.world.scene import Scene
from visionthink.model.attribute import ATTRIBUTES, COARSE, FINE
from visionthink.model.probe import Glance, Search
from visionthink.picture import cut

_COARSE_WEIGHT: Final = 0.5
_FULL_RATIO: Final = 0.8
_GLANCED: Final = tuple(attribute for attribute in ATTRIBUTES if attribute.panel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """B views of one size: what the tower makes of them, and what their scenes hold."""

    scenes: Sequence[Scene]
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
    ) -> None:
        """Learn from the world's pretraining split."""
        self._tower = cast("Any", model).model.visual
        self._processor = processor
        size = Size(width=SIDE, height=SIDE)
        self._views = {True: full_view(size, rule), False: quarter_view(size, rule)}
        self._num_full = round(batch_size * _FULL_RATIO)
        self._batch_size = batch_size
        self._scenes = scenes("pretrain", rng)
        width = int(cast("Any", model).config.text_config.hidden_size)
        self._search, self._glance = Search(width, ATTRIBUTES), Glance(width, _GLANCED)

    def parameters(self) -> list[torch.nn.Parameter]:
        """What the phase trains: the tower and the readouts."""
        return [*self._tower.parameters(), *self._search.parameters(), *self._glance.parameters()]

    def loss(self) -> tuple[torch.Tensor, float]:
        """The loss of a fresh batch, and the share of fine attributes that the search read right in its full views."""
        drawn = [next(self._scenes) for _ in range(self._batch_size)]
        full = self._looks(drawn[: self._num_full], is_full=True)
        quarter = self._looks(drawn[self._num_full :], is_full=False)
        logits = self._search(full.tokens)
        loss = _summed(logits, full.scenes, ATTRIBUTES)
        loss = loss + _summed(self._glance(full.tokens, full.scenes), full.scenes, _GLANCED)
        loss = loss + _COARSE_WEIGHT * _summed(self._search(quarter.tokens), quarter.scenes, COARSE)
        fine = _targets(full.scenes, FINE)
        read = logits[:, len(COARSE) :].argmax(-1) == fine
        return loss, read.float().mean().item()

    def _looks(self, drawn: Sequence[Scene], *, is_full: bool) -> Looks:
        pictures = [cut(paint(scene), self._views[is_full]) for scene in drawn]
        made = self._processor.image_processor(images=pictures, return_tensors="pt")
        tokens: torch.Tensor = self._tower(made["pixel_values"], grid_thw=made["image_grid_thw"]).pooler_output
        return Looks(scenes=drawn, tokens=tokens.view(len(drawn), -1, tokens.shape[-1]))


def _targets(drawn: Sequence[Scene], attributes: Sequence[Any]) -> torch.Tensor:
    return torch.tensor([[attribute.read(scene) for attribute in attributes] for scene in drawn])


def _summed(logits: torch.Tensor, drawn: Sequence[Scene], attributes: Sequence[Any]) -> torch.Tensor:
    """Cross entropy of the first attributes of `logits` [B, K, C], summed over them, mean over views."""
    targets = _targets(drawn, attributes)
    flat = logits[:, : len(attributes)].flatten(0, 1)
    return functional.cross_entropy(flat, targets.flatten(), reduction="sum") / len(drawn)
