"""Models as folders: loading and saving them.

Rule: a model is saved as a whole or not at all, with all that `TransformersEngine.load`, vLLM and veRL look for, and
with a file that says which conversations it was trained for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from visionthink.config import RunConfig
from visionthink.core.excerpt import excerpt
from visionthink.engines.transformers_local import UNLOADABLE
from visionthink.errors import ConfigError, DataError
from visionthink.model.bundled import check_model
from visionthink.model.card import CARD_NAME, model_card
from visionthink.model.writing import weights_written
from visionthink.storage import atomic_dir, atomic_write_json


class LoadedModel(NamedTuple):
    """A model in memory and what encodes its conversations."""

    model: Qwen2_5_VLForConditionalGeneration
    processor: Qwen2_5_VLProcessor
    saved_as: torch.dtype = torch.float32
    """Number format of the folder that it came from, and of the one that it will be saved to."""


def load_model(folder: Path) -> LoadedModel:
    """The model in `folder` to train: its weights in float32, whatever the folder holds.

    An optimizer step is far smaller than the gap between two numbers of 16 bits, so steps on such weights are lost.

    Raises:
        ConfigError: there is no such model, or one that lacks weights.
        PermissionDeniedError: this user may not read it.
    """
    check_model(folder)
    try:
        model, report = cast("Any", Qwen2_5_VLForConditionalGeneration).from_pretrained(
            folder, dtype="auto", output_loading_info=True
        )
        processor = cast("Any", AutoProcessor).from_pretrained(folder)
    except UNLOADABLE as error:
        raise ConfigError(f"the model in {folder} cannot be loaded: {excerpt(str(error), 200)}") from error
    if lacks := sorted(report["missing_keys"]):
        # Made up at random otherwise, with a line on stderr.
        raise ConfigError(f"the model in {folder} lacks {len(lacks)} weights, {lacks[0]} among them; take another")
    saved_as = model.dtype
    return LoadedModel(model.float(), processor, saved_as)


def halve(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Round the weights, in place, to what 16 bits hold."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.half().float())


def save_model(
    loaded: LoadedModel,
    folder: Path,
    config: RunConfig,
    *,
    extra: Mapping[str, Mapping[str, object]] | None = None,
    halved: bool = False,
) -> None:
    """Make `folder` with weights, processor, card and `extra` JSON files; the manifest is written last.

    With `halved` the file holds weights of 16 bits, which are loaded in the model's own format all the same. Whoever
    wants the very model that stands in memory rounds that first (`halve`).

    The weights have the number format that the model was loaded from, in memory as well from now on: the model takes
    the place of its base wherever that one was served, and what is judged is what is served.

    Raises:
        StorageError: there is such a folder, or no room for it.
        DataError: a weight is not finite.
    """
    cast("Any", loaded.model).to(loaded.saved_as)
    _check_finite(loaded.model, folder)
    with atomic_dir(folder) as new, weights_written(folder):
        loaded.model.save_pretrained(new, state_dict=_halves(loaded.model) if halved else None)
        loaded.processor.save_pretrained(new)
        for name, value in {CARD_NAME: model_card(config), **(extra or {})}.items():
            atomic_write_json(new / name, value)


def _halves(model: Qwen2_5_VLForConditionalGeneration) -> dict[str, torch.Tensor]:
    """The weights as they are written, without the ones that are tied to others."""
    weights: dict[str, torch.Tensor] = model.state_dict()
    return {name: weight.half() for name, weight in weights.items() if name != "lm_head.weight"}


def _check_finite(model: torch.nn.Module, folder: Path) -> None:
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise DataError(f"the weights {name} of {folder} would not be finite, so no model is saved; train anew")
