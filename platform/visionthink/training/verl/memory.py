"""How much memory a training by veRL takes, before anything is started.

Rule: the estimate is arithmetic on settings and the model's shape, so that a job which cannot fit is refused at once,
by the name of the setting to lower, and not by a GPU half an hour later. It counts what grows with the settings; what a
process takes for itself is a fixed allowance. Answering and training take turns on a GPU: the larger of the two counts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from visionthink.config import RunConfig
from visionthink.core.geometry import TOKEN_SIDE
from visionthink.errors import ConfigError

_GIB: Final = 1024**3
_FP32: Final = 4
_BF16: Final = 2
_ADAM: Final = 2
"""Float32 numbers that AdamW keeps for each weight."""
_PIXEL_BYTES: Final = 24
"""Of host memory per pixel and rollout, measured: float32 of three channels, twice."""
_GPU_ALLOWANCE_GIB: Final = 4.0
"""CUDA contexts, NCCL and the allocator's slack; what the sleeping half keeps."""
_PROCESS_GIB: Final = 2.0
"""Of host memory for each trainer, answering server and agent worker: imports and their heaps, measured 1-2."""
_LORA_WEIGHT_COPIES: Final = 2
"""Of the model in a node's memory beside those that sleep there: what is being loaded, synchronised, saved or merged.
Measured with LoRA on one GPU: 45.2 GiB for 3B and 70.3 for 7B, of which the weights' number explains the difference."""
_HIDDEN_COPIES: Final = 14
"""Values of the hidden size, per token, that one layer keeps while it is differentiated: inputs, norms, q, k, v, ..."""
_MLP_COPIES: Final = 3
_TEXT_TOKENS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes of a Qwen2.5-VL model that memory depends on."""

    num_parameters: int
    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_kv_heads: int
    head_size: int
    vocabulary_size: int
    num_linear_inputs_outputs: int
    """Inputs plus outputs of all linear layers of the language model: what a LoRA adapter of rank 1 has weights for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One reason for taking memory."""

    name: str
    gib: float
    lower: str
    """The setting to change so that it takes less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """What one GPU and one node will hold at their peaks, in GiB."""

    training: tuple[Part, ...]
    """On a GPU while weights are updated."""
    answering: tuple[Part, ...]
    """On a GPU while the model answers."""
    cache: tuple[Part, ...]
    """Within the share of a GPU that the answering model may take."""
    cache_gib: float
    """That share."""
    host: tuple[Part, ...]
    """In the memory of a node."""

    @property
    def gpu_gib(self) -> float:
        """The peak of a GPU."""
        return max(total_gib(self.training), total_gib(self.answering))

    @property
    def host_gib(self) -> float:
        """The peak of a node."""
        return total_gib(self.host)


def total_gib(parts: tuple[Part, ...]) -> float:
    """The sum of the parts."""
    return sum(part.gib for part in parts)


def shape_of(model_config: Mapping[str, Any]) -> ModelShape:
    """The shape that a model's config.json tells.

    Raises:
        ConfigError: a size is missing.
    """
    text, vision = {**model_config, **model_config.get("text_config", {})}, model_config.get("vision_config", {})
    try:
        hidden, inner, layers = text["hidden_size"], text["intermediate_size"], text["num_hidden_layers"]
        heads, kv_heads, vocabulary = text["num_attention_heads"], text["num_key_value_heads"], text["vocab_size"]
        tower = _tower_parameters(vision, hidden)
    except KeyError as error:
        raise ConfigError(
            f"the model's config.json has no {error}, so its memory cannot be told; is it a Qwen2.5-VL model?"
        ) from error
    head = text.get("head_dim") or hidden // heads
    q, kv = heads * head, kv_heads * head
    linear = [(hidden, q), (hidden, kv), (hidden, kv), (q, hidden), (hidden, inner), (hidden, inner), (inner, hidden)]
    layer = sum(i * o for i, o in linear) + q + 2 * kv + 2 * hidden
    tied = text.get("tie_word_embeddings", False)
    return ModelShape(
        num_parameters=layers * layer + vocabulary * hidden * (1 if tied else 2) + hidden + tower,
        num_layers=layers,
        hidden_size=hidden,
        intermediate_size=inner,
        num_kv_heads=kv_heads,
        head_size=head,
        vocabulary_size=vocabulary,
        num_linear_inputs_outputs=layers * sum(i + o for i, o in linear),
    )


def _tower_parameters(vision: Mapping[str, Any], out: int) -> int:
    """Of the vision tower: patches of two frames, blocks with biases, and the merger of four patches into a token."""
    side, inner, depth = vision["hidden_size"], vision["intermediate_size"], vision["depth"]
    patch = vision.get("patch_size", 14)
    merged = side * vision.get("spatial_merge_size", 2) ** 2
    block = 4 * side * side + 4 * side + 3 * side * inner + 2 * inner + side + 2 * side
    merger = side + merged * merged + merged + merged * out + out
    return int(depth * block + 3 * vision.get("temporal_patch_size", 2) * patch * patch * side + merger)


def estimate_memory(config: RunConfig, shape: ModelShape) -> MemoryEstimate:
    """What a training with these settings takes of a GPU and of a node."""
    share = config.verl.rollout_memory_ratio * config.verl.gpu_memory_gib
    resident = _resident(config, shape)
    return MemoryEstimate(
        training=(*resident, *_working(config, shape), _allowance()),
        answering=(
            *(part for part in resident if not _is_offloaded(part, config)),
            Part(name="answering model", gib=share, lower="verl.rollout_memory_ratio"),
            _allowance(),
        ),
        cache=_cache(config, shape),
        cache_gib=share,
        host=_host(config, shape),
    )


def check_memory(config: RunConfig, shape: ModelShape) -> MemoryEstimate:
    """The estimate, where all of it fits.

    Raises:
        ConfigError: something does not; names what takes most of it, and the setting to lower.
    """
    estimate = estimate_memory(config, shape)
    verl = config.verl
    for where, parts, limit, raised in (
        ("a GPU while weights are updated", estimate.training, verl.gpu_memory_gib, "verl.gpu_memory_gib"),
        ("a GPU while the model answers", estimate.answering, verl.gpu_memory_gib, "verl.gpu_memory_gib"),
        ("the answering model's share", estimate.cache, estimate.cache_gib, "verl.rollout_memory_ratio"),
        ("a node's memory", estimate.host, verl.host_memory_gib, "verl.host_memory_gib"),
    ):
        if total_gib(parts) > limit:
            ordered = sorted(parts, key=lambda part: -part.gib)
            listed = ", ".join(f"{part.name} {part.gib:.1f}" for part in ordered)
            first, second, *_ = [part for part in ordered if part.lower]
            raise ConfigError(
                f"{where} has {limit:.1f} GiB ({raised}), but {total_gib(parts):.1f} are needed ({listed}); lower "
                f"the {first.name} by {first.lower}, or the {second.name} by {second.lower}"
            )
    return estimate


def _num_trained(config: RunConfig, shape: ModelShape) -> int:
    rank = config.verl.lora_rank
    return rank * shape.num_linear_inputs_outputs if rank else shape.num_parameters


def _resident(config: RunConfig, shape: ModelShape) -> tuple[Part, ...]:
    """Kept from step to step, spread over the GPUs of one copy."""
    verl, trained, spread = config.verl, _num_trained(config, shape), _spread(config)
    weight_bytes = shape.num_parameters * (_BF16 if verl.lora_rank else _FP32) + (
        trained * _FP32 if verl.lora_rank else 0
    )
    parts = [
        Part(name="weights", gib=_gib(weight_bytes / verl.gpus_per_copy), lower=spread),
        Part(
            name="optimizer",
            gib=_gib(_ADAM * _FP32 * trained / verl.gpus_per_copy),
            lower=f"{spread}, or verl.lora_rank above 0",
        ),
    ]
    has_base = config.train.kl_weight > 0 and not verl.lora_rank and not verl.offload_base
    if has_base:
        gib = _gib(shape.num_parameters * _FP32 / verl.gpus_per_copy)
        parts.append(Part(name="base model", gib=gib, lower="verl.offload_base=true"))
    return tuple(parts)


def _spread(config: RunConfig) -> str:
    """What makes a GPU's part of the trained model smaller."""
    whole = config.verl.gpus_per_copy == config.verl.num_gpus
    return "more GPUs (verl.num_nodes)" if whole else "a larger verl.shard_size"


def _is_offloaded(part: Part, config: RunConfig) -> bool:
    flags = {"weights": config.verl.offload_parameters, "optimizer": config.verl.offload_optimizer}
    return flags.get(part.name, False)


def _working(config: RunConfig, shape: ModelShape) -> tuple[Part, ...]:
    """Only there while a micro-batch is differentiated."""
    verl = config.verl
    number = _BF16 if verl.compute_dtype == "bf16" else _FP32
    tokens = config.train.micro_batch_size * sum(_lengths(config))
    layer = tokens * (_HIDDEN_COPIES * shape.hidden_size + _MLP_COPIES * shape.intermediate_size) * number
    kept = tokens * shape.hidden_size * number * shape.num_layers
    activations = kept + layer if verl.gradient_checkpointing else layer * shape.num_layers
    # One copy and its gradient; the log-probabilities themselves are computed in pieces.
    logits = 2 * tokens * shape.vocabulary_size * number
    lower = "train.micro_batch_size" if config.train.micro_batch_size > 1 else "verl.max_response_tokens"
    return (
        Part(
            name="gradients",
            gib=_gib(_FP32 * _num_trained(config, shape) / verl.gpus_per_copy),
            lower=f"{_spread(config)}, or verl.lora_rank above 0",
        ),
        Part(
            name="activations",
            gib=_gib(activations),
            lower=lower if verl.gradient_checkpointing else "verl.gradient_checkpointing=true",
        ),
        Part(name="logits", gib=_gib(logits), lower=lower),
    )


def _cache(config: RunConfig, shape: ModelShape) -> tuple[Part, ...]:
    """One whole episode must have room beside the weights, or vLLM does not start."""
    verl = config.verl
    number = _FP32 if verl.rollout_dtype == "float32" else _BF16
    token = 2 * shape.num_layers * shape.num_kv_heads * shape.head_size * number
    return (
        Part(
            name="answering weights",
            gib=_gib(shape.num_parameters * number / verl.tensor_parallel),
            lower="a larger verl.tensor_parallel",
        ),
        Part(
            name="KV cache of one episode",
            gib=_gib(token * sum(_lengths(config)) / min(verl.tensor_parallel, shape.num_kv_heads)),
            lower="verl.max_response_tokens",
        ),
    )


def _host(config: RunConfig, shape: ModelShape) -> tuple[Part, ...]:
    verl, train = config.verl, config.train
    shown = config.view.max_pixels * (1 / config.view.shrink**2 + (config.episode.max_turns - 1))
    rollouts = train.num_prompts * train.group_size / verl.num_nodes
    copies = verl.gpus_per_node / verl.gpus_per_copy
    num_processes = 2 * verl.gpus_per_node + math.ceil(verl.num_agent_workers / verl.num_nodes)
    parts = [
        Part(
            name="pixels of a step's rollouts",
            gib=_gib(_PIXEL_BYTES * shown * rollouts),
            lower="train.num_prompts, or view.max_pixels",
        ),
        Part(name="processes", gib=_PROCESS_GIB * num_processes, lower="verl.num_agent_workers"),
        *_host_weights(config, shape),
    ]
    for name, is_there, numbers, lower in (
        ("offloaded weights", verl.offload_parameters, shape.num_parameters, "verl.offload_parameters=false"),
        (
            "offloaded optimizer",
            verl.offload_optimizer,
            _ADAM * _num_trained(config, shape),
            "verl.offload_optimizer=false",
        ),
        (
            "offloaded base model",
            verl.offload_base and train.kl_weight > 0,
            shape.num_parameters,
            "verl.offload_base=false",
        ),
    ):
        if is_there:
            parts.append(Part(name=name, gib=_gib(_FP32 * numbers * copies), lower=lower))
    return tuple(parts)


def _host_weights(config: RunConfig, shape: ModelShape) -> tuple[Part, ...]:
    """With LoRA the answering model's own weights sleep in the node's memory while the adapter is trained.

    veRL 0.9.1 lets vLLM sleep at level 1 then, and at level 2, which drops them, where all weights are handed over
    (`_resolve_sleep_level`, workers/rollout/vllm_rollout/vllm_async_server.py).
    """
    verl = config.verl
    if not verl.lora_rank:
        return ()
    sleeping = verl.gpus_per_node / verl.tensor_parallel
    gib = _gib(shape.num_parameters * _BF16 * (sleeping + _LORA_WEIGHT_COPIES))
    return (Part(name="copies of the weights", gib=gib, lower="a larger verl.tensor_parallel, or a smaller model"),)


def _lengths(config: RunConfig) -> tuple[int, int]:
    """Tokens of the first request and of everything after it."""
    view = math.ceil(config.view.max_pixels / TOKEN_SIDE**2)
    turns = config.episode.max_turns
    response = (turns + 1) * config.episode.max_reply_tokens + turns * (view + _TEXT_TOKENS // 4)
    return config.verl.max_prompt_tokens or view + _TEXT_TOKENS, config.verl.max_response_tokens or response


def _allowance() -> Part:
    return Part(name="contexts", gib=_GPU_ALLOWANCE_GIB, lower="")


def _gib(size_bytes: float) -> float:
    return size_bytes / _GIB
