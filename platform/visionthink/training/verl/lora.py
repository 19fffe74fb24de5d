"""Adapters of a training by LoRA, folded into the weights that they were trained beside.

Rule: veRL saves a model under PEFT's names, weights and adapters apart, and how much an adapter counts in a file of its
own. A folded weight is `W + alpha / r * B A`, computed in float32 and not rounded here; all others stay as they are. A
kind of adapter that is not known is refused, because a model without it would be another one.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from visionthink.errors import DataError
from visionthink.storage.json_file import read_json

META: Final = "lora_train_meta.json"
"""Where veRL keeps rank and alpha, beside the weights' folder."""
INDEX: Final = "model.safetensors.index.json"
_WHOLE: Final = "base_model.model."
_BASE: Final = ".base_layer."
_RENAMED: Final = {"model.visual.": "visual.", "model.language_model.": "model."}
"""Parts of the model as transformers calls them now, and as Qwen's files do."""
_ADAPTER: Final = ".lora_"
_A, _B = (f"{_ADAPTER}{letter}.default.weight" for letter in "AB")


def adapter_scale(actor: Path) -> float | None:
    """How much the adapters of a checkpoint count; None when weights themselves were trained.

    Raises:
        DataError: the file that says so cannot be understood.
    """
    path = actor / META
    if not path.is_file():
        return None
    told: Any = read_json(path)
    try:
        return float(told["lora_alpha"]) / int(told["r"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(f"{path} does not say rank and alpha of the adapters; train anew") from error


def fold(source: Path, target: Path, *, like: Path, scale: float) -> None:
    """Write the weights in `source` to `target`, adapters folded in, file for file, under the names that `like` has.

    Raises:
        DataError: there is an adapter of an unknown kind, or one that belongs to no weight.
    """
    files = sorted(source.glob("*.safetensors"))
    place = {name: path for path in files for name in _names(path)}
    known = {name for path in like.glob("*.safetensors") for name in _names(path)}
    _check(place)
    weight_map: dict[str, str] = {}
    for path in files:
        names = [name for name in _names(path) if _ADAPTER not in name]
        folded = {_name_in(known, name): _folded(name, place, scale) for name in names}
        if folded:
            save_file(folded, target / path.name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(folded, path.name)
    if (source / INDEX).is_file():
        (target / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def _name_in(known: Collection[str], wrapped: str) -> str:
    """The name that a weight has where PEFT has not wrapped it: one of `known`, if it is there at all."""
    name = wrapped.removeprefix(_WHOLE).replace(_BASE, ".")
    spellings = [name, *(old + name.removeprefix(new) for new, old in _RENAMED.items() if name.startswith(new))]
    return next((spelling for spelling in spellings if spelling in known), name)


def _check(place: Mapping[str, Path]) -> None:
    for name in place:
        if _ADAPTER not in name:
            continue
        stem = name.removesuffix(_A).removesuffix(_B)
        if stem == name or not {f"{stem}{_BASE}weight", stem + _A, stem + _B} <= place.keys():
            raise DataError(f"{place[name]} holds {name}, which belongs to no weight; adapt linear layers only")


def _folded(name: str, place: Mapping[str, Path], scale: float) -> torch.Tensor:
    weight = _tensor(name, place)
    stem = name.removesuffix(f"{_BASE}weight")
    if stem == name or stem + _A not in place:
        return weight
    down, up = (_tensor(stem + end, place).float() for end in (_A, _B))
    return weight.float() + scale * (up @ down)


def _names(path: Path) -> list[str]:
    with safe_open(path, "pt") as file:
        return list(file.keys())


def _tensor(name: str, place: Mapping[str, Path]) -> torch.Tensor:
    with safe_open(place[name], "pt") as file:
        found: torch.Tensor = file.get_tensor(name)
        return found
