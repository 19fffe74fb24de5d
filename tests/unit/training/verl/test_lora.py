"""Adapters folded into weights, file by file. That the sum is PEFT's, tests/contract/verl proves."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from visionthink.errors import DataError
from visionthink.training.verl.lora import INDEX, META, adapter_scale, fold

BASE = "base_model.model.model.layer"


def tensors(scale: float = 1.0) -> dict[str, torch.Tensor]:
    return {
        "base_model.model.norm.weight": torch.ones(3, dtype=torch.bfloat16),
        f"{BASE}.base_layer.weight": torch.zeros(3, 2, dtype=torch.bfloat16),
        f"{BASE}.base_layer.bias": torch.full((3,), 5.0),
        f"{BASE}.lora_A.default.weight": torch.tensor([[1.0, 2.0]]),
        f"{BASE}.lora_B.default.weight": torch.tensor([[1.0], [10.0], [0.001]]) * scale,
    }


@pytest.mark.parametrize("num_files", [1, 5])
def test_adapters_are_added_to_their_weights_wherever_they_lie(num_files: int, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    parts = [dict(list(tensors().items())[number::num_files]) for number in range(num_files)]
    for number, part in enumerate(parts):
        save_file(part, source / f"model-{number}.safetensors")
    (source / INDEX).write_text("{}")
    fold(source, target, like=target, scale=2.0)
    got = {name: tensor for path in target.glob("*.safetensors") for name, tensor in load_file(path).items()}
    assert got.keys() == {"norm.weight", "model.layer.weight", "model.layer.bias"}
    assert torch.equal(got["model.layer.weight"], torch.tensor([[2.0, 4.0], [20.0, 40.0], [0.002, 0.004]]))
    assert got["norm.weight"].dtype is torch.bfloat16 and torch.equal(got["model.layer.bias"], torch.full((3,), 5.0))
    index = json.loads((target / INDEX).read_text())["weight_map"]
    assert index.keys() == got.keys() and all((target / name).is_file() for name in index.values())


def test_weights_are_called_as_the_base_calls_them(tmp_path: Path) -> None:
    source, target, like = (tmp_path / name for name in ("source", "target", "like"))
    for folder in (source, target, like):
        folder.mkdir()
    whole = "base_model.model."
    wrapped = ["model.visual.norm.weight", "model.language_model.layer.base_layer.weight", "lm_head.weight"]
    save_file({whole + name: torch.ones(1) for name in wrapped}, source / "model.safetensors")
    want = {"visual.norm.weight", "model.layer.weight", "lm_head.weight"}
    save_file({name: torch.ones(1) for name in want}, like / "base.safetensors")
    fold(source, target, like=like, scale=1.0)
    assert load_file(target / "model.safetensors").keys() == want


@pytest.mark.parametrize(
    "name",
    [
        f"{BASE}.lora_embedding_A.default",
        f"{BASE}.lora_magnitude_vector.default.weight",
        f"{BASE}.lora_A.other.weight",
        "base_model.model.model.gone.lora_A.default.weight",
    ],
)
def test_an_adapter_that_cannot_be_folded_is_refused_by_name(name: str, tmp_path: Path) -> None:
    save_file(tensors() | {name: torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        fold(tmp_path, tmp_path / "target", like=tmp_path, scale=1.0)


@pytest.mark.parametrize(("told", "want"), [(None, None), ('{"r": 4, "lora_alpha": 8}', 2.0)])
def test_how_much_adapters_count_is_in_the_checkpoint(told: str | None, want: float | None, tmp_path: Path) -> None:
    if told is not None:
        (tmp_path / META).write_text(told)
    assert adapter_scale(tmp_path) == want


@pytest.mark.parametrize("told", ['{"r": 0, "lora_alpha": 8}', '{"r": 4}', "[]"])
def test_a_checkpoint_that_does_not_say_so_is_refused(told: str, tmp_path: Path) -> None:
    (tmp_path / META).write_text(told)
    with pytest.raises(DataError, match="rank and alpha"):
        adapter_scale(tmp_path)
