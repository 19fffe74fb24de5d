"""Settings of training by veRL: how many machines, what fits on them, and what veRL is told beside the method.

Rule: what the method is (steps, prompts, learning rate, reward) stands in the sections that the local trainer reads
too, once. Here stands what only a trainer on many GPUs needs. Each setting names veRL's own, and whatever has no
setting here can be given under veRL's name in `settings`.
"""

import json
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from visionthink.config.data import PositiveInt
from visionthink.config.section import OPERATIONAL, Place, Section

VerlValue: TypeAlias = str | int | float | bool | tuple[str | int | float, ...] | None
"""A value of one of veRL's settings."""

_ROLLOUT = "actor_rollout_ref.rollout"
_ACTOR = "actor_rollout_ref.actor"


class VerlConfig(Section):
    """Multi-turn GRPO by veRL on Ray; read where `train.backend` is `verl`."""

    num_nodes: PositiveInt = 1
    """Machines. A checkpoint can be gone on with by as many only. veRL: `trainer.nnodes`."""
    gpus_per_node: PositiveInt = 1
    """GPUs of each. veRL: `trainer.n_gpus_per_node`."""
    mini_batch_prompts: PositiveInt | None = None
    """Prompts per update; None makes one update of a whole step. The paper's released code: 32. veRL:
    `actor.ppo_mini_batch_size`."""
    max_prompt_tokens: PositiveInt | None = None
    """Tokens of the first request; None computes it from the largest view. veRL: `data.max_prompt_length`."""
    max_response_tokens: PositiveInt | None = None
    """Tokens of everything after it, further views included; None computes it from turns, replies and views. veRL:
    `data.max_response_length`."""
    shard_size: PositiveInt | None = None
    """GPUs that one copy of the trained model is spread over; None spreads one over all of them, which takes the least
    memory and hands all weights around for every micro-batch. Adapters of a model that one GPU can hold want 1: then
    nothing but their gradients travels. veRL: `actor.fsdp_config.fsdp_size`."""
    tensor_parallel: PositiveInt = 1
    """GPUs that hold one copy of the model while it answers. veRL: `rollout.tensor_model_parallel_size`."""
    rollout_memory_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of a GPU that vLLM may take for weights and KV cache. veRL: `rollout.gpu_memory_utilization`."""
    rollout_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Number format of the answering model. veRL: `rollout.dtype`."""
    compute_dtype: Literal["bf16", "fp32"] = "bf16"
    """Number format in which the trainer computes; its weights are float32 except under LoRA. veRL:
    `actor.fsdp_config.mixed_precision.param_dtype`."""
    max_num_sequences: PositiveInt = 256
    """Episodes that one copy of the answering model works on at once. veRL: `rollout.max_num_seqs`."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of the adapters that are trained instead of the weights; 0 trains the weights. veRL: `model.lora_rank`."""
    lora_alpha: PositiveInt = 32
    """Scale of the adapters. veRL: `model.lora_alpha`."""
    gradient_checkpointing: bool = True
    """Whether activations are computed again instead of kept. veRL: `model.enable_gradient_checkpointing`."""
    offload_parameters: bool = False
    """Whether weights wait in host memory while the model answers. veRL: `actor.fsdp_config.param_offload`."""
    offload_optimizer: bool = False
    """The same of the optimizer's state. veRL: `actor.fsdp_config.optimizer_offload`."""
    offload_base: bool = False
    """The same of the base model that the divergence is measured from. veRL: `ref.fsdp_config.param_offload`."""
    filter_groups: bool = False
    """Whether groups that give no gradient, because their rewards are all equal or one of their rollouts failed, are
    replaced by further prompts, as in the paper's released code. veRL: `algorithm.filter_groups.enable`."""
    max_refills: PositiveInt = 8
    """Batches' worth of groups that may be replaced in a step; what gives no gradient after that is taken as it is, or
    a policy that has learned everything would draw for ever."""
    num_agent_workers: Annotated[PositiveInt, OPERATIONAL] = 8
    """Processes that drive episodes. veRL: `rollout.agent.num_workers`."""
    num_storage_units: Annotated[PositiveInt, OPERATIONAL] = 2
    """Processes that hold the rollouts of a step; each takes a CPU. veRL:
    `transfer_queue.backend.SimpleStorage.num_data_storage_units`."""
    gpu_memory_gib: Annotated[float, Field(gt=0), OPERATIONAL] = 80.0
    """Memory of one GPU: what the estimate is held against."""
    host_memory_gib: Annotated[float, Field(gt=0), OPERATIONAL] = 400.0
    """Memory that the processes of one node may take."""
    cpus_per_node: Annotated[PositiveInt, OPERATIONAL] = 32
    """CPUs of one node, as Ray is told of them."""
    num_checkpoints: Annotated[PositiveInt, OPERATIONAL] = 2
    """Checkpoints that are kept; the oldest go first. veRL: `trainer.max_actor_ckpt_to_keep`."""
    checkpoint_store: Annotated[str | None, OPERATIONAL, Place()] = None
    """Folder or s3:// address that checkpoints are copied to, and taken from by a node with an empty disk."""
    settings: tuple[str, ...] = ()
    """Anything else under veRL's own name, `name=value` each with the value as JSON (a bare word is text); they win.
    A name that veRL's files do not list begins with `+`."""

    @field_validator("settings")
    @classmethod
    def _settings_are_pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            _pair(text)
        return value

    @model_validator(mode="after")
    def _copies_fit(self) -> "VerlConfig":
        if self.gpus_per_node % self.tensor_parallel:
            raise ValueError(
                f"tensor_parallel {self.tensor_parallel} does not divide gpus_per_node {self.gpus_per_node}; a copy of "
                "the model lies on the GPUs of one node"
            )
        if self.num_gpus % self.gpus_per_copy:
            raise ValueError(
                f"shard_size {self.shard_size} does not divide the {self.num_gpus} GPUs of num_nodes x gpus_per_node; "
                "each of them holds an equal part of one copy"
            )
        return self

    @property
    def num_gpus(self) -> int:
        """GPUs of all nodes."""
        return self.num_nodes * self.gpus_per_node

    @property
    def gpus_per_copy(self) -> int:
        """GPUs that one copy of the trained model is spread over."""
        return min(self.shard_size or self.num_gpus, self.num_gpus)

    def overrides(self) -> dict[str, VerlValue]:
        """These settings under veRL's names, without those that are left to be computed."""
        named: dict[str, VerlValue] = {
            f"{_ROLLOUT}.tensor_model_parallel_size": self.tensor_parallel,
            f"{_ROLLOUT}.gpu_memory_utilization": self.rollout_memory_ratio,
            f"{_ROLLOUT}.dtype": self.rollout_dtype,
            f"{_ROLLOUT}.max_num_seqs": self.max_num_sequences,
            f"{_ROLLOUT}.agent.num_workers": self.num_agent_workers,
            "actor_rollout_ref.model.enable_gradient_checkpointing": self.gradient_checkpointing,
            f"{_ACTOR}.fsdp_config.param_offload": self.offload_parameters,
            f"{_ACTOR}.fsdp_config.optimizer_offload": self.offload_optimizer,
            "actor_rollout_ref.ref.fsdp_config.param_offload": self.offload_base,
            f"+{_ACTOR}.fsdp_config.mixed_precision.param_dtype": self.compute_dtype,
            "+actor_rollout_ref.ref.fsdp_config.mixed_precision.param_dtype": self.compute_dtype,
            "algorithm.filter_groups.enable": self.filter_groups,
            "transfer_queue.backend.SimpleStorage.num_data_storage_units": self.num_storage_units,
        }
        if self.shard_size is not None:
            named |= {f"{half}.fsdp_config.fsdp_size": self.shard_size for half in (_ACTOR, "actor_rollout_ref.ref")}
        return named | self._lengths() | self._lora() | dict(map(_pair, self.settings))

    def _lengths(self) -> dict[str, VerlValue]:
        given = {
            f"{_ACTOR}.ppo_mini_batch_size": self.mini_batch_prompts,
            "data.max_prompt_length": self.max_prompt_tokens,
            "data.max_response_length": self.max_response_tokens,
        }
        named: dict[str, VerlValue] = {name: value for name, value in given.items() if value is not None}
        if self.max_prompt_tokens is not None and self.max_response_tokens is not None:
            named[f"{_ROLLOUT}.max_model_len"] = self.max_prompt_tokens + self.max_response_tokens
        return named

    def _lora(self) -> dict[str, VerlValue]:
        if not self.lora_rank:
            return {}
        return {
            "actor_rollout_ref.model.lora_rank": self.lora_rank,
            "actor_rollout_ref.model.lora_alpha": self.lora_alpha,
            "actor_rollout_ref.model.target_modules": "all-linear",
            # Nothing of the weights is learned, so half of the bytes will do.
            f"{_ACTOR}.fsdp_config.model_dtype": "bf16",
            # Gradients of adapters are small enough to wait for the last micro-batch: ranks meet once.
            f"{_ACTOR}.fsdp_config.use_no_sync_for_gradient_accumulation": True,
            # vLLM reads the weights that the adapters are added to from the files themselves.
            f"{_ROLLOUT}.load_format": "safetensors",
        }


def _pair(text: str) -> tuple[str, VerlValue]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"setting {text!r} is not of the form name=value")
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value.strip()
    if isinstance(parsed, dict):
        raise ValueError(f"setting {text!r}: give each of veRL's names a line of its own")
    return name.strip(), tuple(parsed) if isinstance(parsed, list) else parsed
