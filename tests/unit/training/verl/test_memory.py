import json
from pathlib import Path
from typing import Any, Final

import pytest

from visionthink.config import RunConfig, load_config, override_config, preset_names
from visionthink.errors import ConfigError
from visionthink.model.bundled import base_folder
from visionthink.training.verl.memory import ModelShape, check_memory, estimate_memory, shape_of

# What the config.json of the published models says (Qwen/Qwen2.5-VL-7B-Instruct, -3B-Instruct).
_VISION = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420}
QWEN_7B = shape_of(
    {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
        "vision_config": _VISION,
    }
)
QWEN_3B = shape_of(
    {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
        "vision_config": _VISION,
    }
)
EMBEDDED = shape_of(json.loads((base_folder("embedded") / "config.json").read_text()))
SHAPES = {"paper-7b-4x8": QWEN_7B, "7b-1x8": QWEN_7B, "3b-lora-1x1": QWEN_3B, "tiny-verl": EMBEDDED}


@pytest.mark.parametrize(
    ("shape", "want"),
    [
        pytest.param(QWEN_7B, 8_292_166_656, id="7B, as its model card counts"),
        pytest.param(QWEN_3B, 3_754_622_976, id="3B, as its model card counts"),
        pytest.param(EMBEDDED, 1_520_128, id="the model that ships, as docs/papers.md counts"),
    ],
)
def test_parameters_are_counted_from_the_config(shape: ModelShape, want: int) -> None:
    assert shape.num_parameters == pytest.approx(want, rel=1e-3)


def test_every_preset_for_verl_has_a_shape_here() -> None:
    assert set(SHAPES) == {name for name in preset_names() if load_config(None, preset=name).train.backend == "verl"}


@pytest.mark.parametrize("name", SHAPES)
def test_preset_fits_the_machines_that_it_names(name: str) -> None:
    config = load_config(None, preset=name)
    estimate = check_memory(config, SHAPES[name])
    assert 0 < estimate.gpu_gib <= config.verl.gpu_memory_gib
    assert 0 < estimate.host_gib <= config.verl.host_memory_gib


@pytest.mark.parametrize(
    ("shape", "gpu_gib", "host_gib"),
    [
        pytest.param(QWEN_3B, 50.25, 45.18, id="3B"),
        pytest.param(QWEN_7B, 59.77, 70.3, id="7B"),
    ],
)
def test_estimate_is_what_an_h100_and_its_node_were_seen_to_hold(
    shape: ModelShape, gpu_gib: float, host_gib: float
) -> None:
    # benchmarks/results/verl/large-{3b,7b}.json
    batch = {"train.num_prompts": 8, "train.group_size": 8, "verl.mini_batch_prompts": 4, "verl.num_agent_workers": 8}
    estimate = estimate_memory(load_config(None, batch, preset="3b-lora-1x1"), shape)
    assert estimate.gpu_gib == pytest.approx(gpu_gib, rel=0.2)
    assert estimate.host_gib == pytest.approx(host_gib, rel=0.2)


H200: Final = (139.8, 4)
"""GiB of memory, and rollouts that were differentiated at a time."""
H100: Final = (79.6, 2)


@pytest.mark.parametrize(
    ("nodes", "gpus", "card", "shard_size", "gpu_gib", "host_gib"),
    [
        pytest.param(1, 1, H200, None, 88.84, 68.67, id="one"),
        pytest.param(2, 1, H200, None, 80.97, 113.95, id="two nodes of one"),
        pytest.param(2, 2, H200, None, 77.43, 205.45, id="two nodes of two"),
        pytest.param(1, 1, H100, 1, 58.62, 69.06, id="one, a whole copy"),
        pytest.param(2, 1, H100, 1, 59.63, 113.99, id="two nodes of one, whole copies"),
        pytest.param(2, 2, H100, 1, 59.30, 188.58, id="two nodes of two, whole copies"),
    ],
)
def test_estimate_is_what_several_gpus_and_their_nodes_were_seen_to_hold(
    nodes: int, gpus: int, card: tuple[float, int], shard_size: int | None, gpu_gib: float, host_gib: float
) -> None:
    # benchmarks/results/scale/training{,-whole-copies}.json; what was seen of nodes is their sum
    (memory_gib, micro_batch), number = card, nodes * gpus
    settings: dict[str, Any] = {
        "train.num_prompts": 4 * number,
        "train.group_size": 16,
        "train.micro_batch_size": micro_batch,
        "verl.num_nodes": nodes,
        "verl.gpus_per_node": gpus,
        "verl.shard_size": shard_size,
        "verl.num_agent_workers": 8 * number,
        "verl.gpu_memory_gib": memory_gib,
    }
    estimate = estimate_memory(load_config(None, settings, preset="3b-lora-1x1"), QWEN_7B)
    assert estimate.gpu_gib == pytest.approx(gpu_gib, rel=0.05)
    assert estimate.host_gib * nodes == pytest.approx(host_gib, rel=0.2)


def test_a_whole_copy_a_gpu_takes_what_one_gpu_takes() -> None:
    def estimate(gpus: int, shard: int | None) -> tuple[float, float]:
        settings = {"verl.gpus_per_node": gpus, "verl.shard_size": shard, "verl.offload_parameters": True}
        found = estimate_memory(load_config(None, settings, preset="3b-lora-1x1"), QWEN_7B)
        weights = next(part.gib for part in found.training if part.name == "weights")
        return weights, next(part.gib for part in found.host if part.name == "offloaded weights")

    alone = estimate(1, None)
    assert list(estimate(4, None)) == pytest.approx([alone[0] / 4, alone[1]])
    assert list(estimate(4, 1)) == pytest.approx([alone[0], 4 * alone[1]])


def test_too_small_a_part_is_told_by_its_own_setting() -> None:
    settings = {"verl.gpus_per_node": 8, "verl.shard_size": 2, "verl.num_nodes": 1}
    with pytest.raises(ConfigError, match=r"a larger verl\.shard_size"):
        check_memory(load_config(None, settings, preset="7b-1x8"), QWEN_7B)


def test_more_answering_models_of_a_node_sleep_in_more_of_its_memory() -> None:
    def host(**verl: int) -> float:
        settings = {f"verl.{name}": number for name, number in verl.items()}
        return estimate_memory(load_config(None, settings, preset="3b-lora-1x1"), QWEN_7B).host_gib

    one, four = host(gpus_per_node=1), host(gpus_per_node=4)
    assert four - one > 3 * 15
    assert host(gpus_per_node=4, tensor_parallel=4) < four - 40


@pytest.mark.parametrize(
    ("preset", "changes", "want"),
    [
        pytest.param("paper-7b-4x8", {"verl.num_nodes": 1, "verl.gpus_per_node": 2}, "optimizer", id="too few GPUs"),
        pytest.param("7b-1x8", {"train.micro_batch_size": 16}, "train.micro_batch_size", id="a micro-batch too large"),
        pytest.param("7b-1x8", {"verl.gpu_memory_gib": 24}, "verl.max_response_tokens", id="a GPU too small"),
        pytest.param("3b-lora-1x1", {"verl.lora_rank": 0}, "lora_rank", id="all weights on one GPU"),
        pytest.param(
            "3b-lora-1x1",
            {"verl.gradient_checkpointing": False, "train.micro_batch_size": 4},
            "gradient_checkpointing=true",
            id="activations kept",
        ),
        pytest.param("7b-1x8", {"verl.rollout_memory_ratio": 0.1}, "rollout_memory_ratio", id="no room to answer"),
        pytest.param("7b-1x8", {"train.num_prompts": 2048}, "train.num_prompts", id="too many pixels for the host"),
        pytest.param("3b-lora-1x1", {"verl.num_agent_workers": 90}, "num_agent_workers", id="too many processes"),
    ],
)
def test_what_cannot_fit_is_refused_by_the_setting_to_lower(preset: str, changes: dict[str, Any], want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        check_memory(override_config(load_config(None, preset=preset), changes), SHAPES[preset])


def test_pixels_take_24_bytes_each_a_rollout() -> None:
    config = override_config(RunConfig(), {"train.num_prompts": 4, "train.group_size": 2, "view.shrink": 2})
    pixels = next(part for part in estimate_memory(config, EMBEDDED).host if part.name.startswith("pixels"))
    assert pixels.gib * 1024**3 == pytest.approx(24 * 8 * 112 * 112 * 1.25)


def test_lora_needs_neither_a_second_model_nor_most_of_the_optimizer() -> None:
    full = load_config(None, preset="3b-lora-1x1")
    names = {part.name: part.gib for part in estimate_memory(full, QWEN_3B).training}
    assert "base model" not in names and names["optimizer"] < 1 < names["weights"]


def test_config_of_another_kind_of_model_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no 'hidden_size'"):
        shape_of({"vision_config": _VISION})
