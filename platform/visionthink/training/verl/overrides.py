"""veRL's settings, as the settings of the run and a plan of its training say. Pure.

Rule: each setting of ours that veRL has an equal for is rendered; one that veRL would silently take otherwise is
refused. Names that veRL's own files list are written plainly, so that a version of veRL that no longer knows one says
so; the others begin with `+`. What a plan itself overrides comes last and wins.

Source of what is not from our settings: the runs that docs/verl.md describes.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig
from visionthink.core.geometry import TOKEN_SIDE
from visionthink.errors import ConfigError
from visionthink.training.verl.plan import Override, VerlPlan

PACKAGE: Final = "visionthink.training.verl"
_AGENT_LOOP: Final = Path(__file__).with_name("agent_loop.yaml")
_EPS: Final = 1e-6
"""What veRL adds to a group's spread, whatever one says."""
_OFF: Final = 1e9
"""A bound that nothing reaches, where veRL has no way to switch one off."""
_TEXT_TOKENS: Final = 512
"""Room for the texts of the protocols around a question, in the tokens of the largest vocabularies."""
_TOWER: Final = ".*visual.*"
"""Names of the vision tower's layers, as a pattern of PEFT's."""
_VAL_TEMPERATURE: Final = 0.0


def overrides(config: RunConfig, plan: VerlPlan) -> list[str]:
    """Arguments for veRL's `ppo_trainer` configuration.

    Raises:
        ConfigError: a setting asks for something that veRL cannot do.
    """
    _check(config)
    named: dict[str, Override] = {
        **_data(config, plan),
        **_model(config, plan),
        **_actor(config, plan),
        **_rollout(config, plan),
        **_group_hook(config),
        **_trainer(config, plan),
    }
    known = {name.lstrip("+"): name for name in named}
    for name, value in plan.overrides.items():
        named[known.get(name.lstrip("+"), name)] = value
    _check_batches(named)
    return [f"{name}={rendered(value)}" for name, value in named.items()]


def rendered(value: Override) -> str:
    """A value in the grammar of hydra's command line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value)
        case tuple():
            return f"[{','.join(map(rendered, value))}]"
        case str() if value.startswith("${") or value.replace("_", "").isalnum():
            return value
        case str():
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"
        case _:
            return repr(value)


def _check(config: RunConfig) -> None:
    if config.reward.advantage_eps != _EPS:
        raise ConfigError(
            f"reward.advantage_eps is {config.reward.advantage_eps:g}, but veRL always adds {_EPS:g} to a group's "
            "spread; leave it out, or train with the local backend"
        )
    if config.train.advantage != "episode":
        raise ConfigError(
            f"train.advantage is {config.train.advantage}, but veRL is given one reward a rollout and makes one "
            "advantage of it for all tokens; set it to episode, or train with the local backend"
        )
    if config.train.learning_rate > 1:
        raise ConfigError(f"train.learning_rate {config.train.learning_rate:g} is none; give one below 1")


def _check_batches(named: Mapping[str, Override]) -> None:
    """Refuse what does not come out even, for veRL stops at it in the middle of its first step."""
    actor = "actor_rollout_ref.actor"
    if named[f"{actor}.use_dynamic_bsz"]:
        return
    names = (f"{actor}.ppo_mini_batch_size", "actor_rollout_ref.rollout.n", f"{actor}.ppo_micro_batch_size_per_gpu")
    mini, group, micro = (int(str(named[name])) for name in names)
    gpus = int(str(named["trainer.nnodes"])) * int(str(named["trainer.n_gpus_per_node"]))
    share, left = divmod(mini * group, gpus)
    if left or share % micro:
        raise ConfigError(
            f"{mini} prompts of {group} rollouts on {gpus} GPUs in micro-batches of {micro} do not come out even; make "
            "train.num_prompts (or verl.mini_batch_prompts) x train.group_size a multiple of the GPUs x "
            "train.micro_batch_size"
        )


def _data(config: RunConfig, plan: VerlPlan) -> dict[str, Override]:
    """No shuffling: the rows stand in the order of the steps."""
    prompt, response = _lengths(config)
    return {
        "data.train_files": str(plan.train_rows),
        "data.val_files": str(plan.val_rows or plan.train_rows),
        "data.train_batch_size": config.train.num_prompts,
        "data.shuffle": False,
        "data.validation_shuffle": False,
        "data.dataloader_num_workers": 0,
        "data.filter_overlong_prompts": False,
        "data.max_prompt_length": prompt,
        "data.max_response_length": response,
    }


def _lengths(config: RunConfig) -> tuple[int, int]:
    """Tokens of the first request, and of everything after it: all replies, and the views and texts between them."""
    view = math.ceil(config.view.max_pixels / TOKEN_SIDE**2)
    turns = config.episode.max_turns
    response = (turns + 1) * config.episode.max_reply_tokens + turns * (view + _TEXT_TOKENS // 4)
    return view + _TEXT_TOKENS, response


def _model(config: RunConfig, plan: VerlPlan) -> dict[str, Override]:
    # Adapters are added behind the engine that freezes the tower, to every layer that is not named here.
    frozen = {"actor_rollout_ref.model.exclude_modules": _TOWER} if config.train.freeze_vision else {}
    return {
        "actor_rollout_ref.model.path": str(plan.base_model),
        "actor_rollout_ref.model.external_lib": f"{PACKAGE}.trainer_engine",
        # Both need flash-attn, which ships for few pairs of torch and CUDA.
        "actor_rollout_ref.model.use_remove_padding": False,
        "+actor_rollout_ref.model.override_config.attn_implementation": "sdpa",
        "actor_rollout_ref.model.enable_gradient_checkpointing": plan.device == "cuda",
        **(frozen if config.verl.lora_rank else {}),
    }


def _actor(config: RunConfig, plan: VerlPlan) -> dict[str, Override]:
    train = config.train
    actor, ref = "actor_rollout_ref.actor", "actor_rollout_ref.ref"
    return {
        "algorithm.adv_estimator": "grpo",
        "algorithm.use_kl_in_reward": False,
        f"{actor}.strategy": "fsdp2",
        f"{ref}.strategy": "fsdp2",
        f"{actor}.fsdp_config.use_torch_compile": False,
        f"{ref}.fsdp_config.use_torch_compile": False,
        f"{actor}.use_torch_compile": False,
        f"{actor}.ppo_mini_batch_size": train.num_prompts,
        f"{actor}.ppo_epochs": train.num_updates,
        f"{actor}.use_dynamic_bsz": False,
        f"{actor}.ppo_micro_batch_size_per_gpu": train.micro_batch_size,
        f"{ref}.log_prob_micro_batch_size_per_gpu": train.micro_batch_size,
        f"{actor}.use_kl_loss": train.kl_weight > 0,
        f"{actor}.kl_loss_coef": train.kl_weight,
        f"{actor}.kl_loss_type": "low_var_kl",
        f"{actor}.entropy_coeff": train.entropy_weight,
        f"{actor}.clip_ratio": train.clip_ratio,
        f"{actor}.clip_ratio_low": train.clip_ratio,
        f"{actor}.clip_ratio_high": train.clip_ratio,
        f"{actor}.clip_ratio_c": train.clip_ratio_c or _OFF,
        f"{actor}.loss_agg_mode": train.loss_aggregation,
        f"{actor}.grad_clip": train.max_grad_norm or _OFF,
        f"{actor}.optim.lr": train.learning_rate,
        f"{actor}.optim.lr_warmup_steps": train.warmup_steps,
        f"{actor}.optim.lr_scheduler_type": "cosine",
        f"{actor}.optim.min_lr_ratio": train.final_lr_ratio,
        f"{actor}.optim.betas": (0.9, 0.98),
        f"{actor}.optim.weight_decay": 0.0,
        # The whole of a step's state, and the weights as transformers reads them.
        f"{actor}.checkpoint.save_contents": ("model", "optimizer", "extra", "hf_model"),
    }


def _rollout(config: RunConfig, plan: VerlPlan) -> dict[str, Override]:
    rollout = "actor_rollout_ref.rollout"
    prompt, response = _lengths(config)
    return {
        f"{rollout}.name": "vllm" if plan.device == "cuda" else "visionthink_cpu",
        f"{rollout}.n": config.train.group_size,
        f"{rollout}.temperature": config.train.temperature,
        f"{rollout}.calculate_log_probs": True,
        f"{rollout}.tensor_model_parallel_size": 1,
        f"{rollout}.max_model_len": prompt + response,
        f"{rollout}.log_prob_micro_batch_size_per_gpu": config.train.micro_batch_size,
        f"{rollout}.val_kwargs.temperature": _VAL_TEMPERATURE,
        f"+{rollout}.limit_images": config.episode.max_turns + 1,
        f"{rollout}.agent.num_workers": 1 if plan.device == "cpu" else 8,
        f"{rollout}.agent.default_agent_loop": "visionthink",
        f"{rollout}.agent.agent_loop_config_path": str(_AGENT_LOOP),
        # Rewards come with the rollouts; the one worker that veRL insists on is never asked.
        "reward.num_workers": 1,
    }


def _group_hook(config: RunConfig) -> dict[str, Override]:
    """`${...}` is filled in by hydra: from what the driver adds, and from veRL's own switch for the filter."""
    sampler = "trainer.v1.sampler"
    return {
        f"{sampler}.custom_sampler.path": f"pkg://{PACKAGE}.group_sampler",
        f"{sampler}.custom_sampler.name": "GroupSampler",
        f"+{sampler}.sampler_kwargs.group_size": config.train.group_size,
        f"+{sampler}.sampler_kwargs.batch_size": config.train.num_prompts,
        f"+{sampler}.sampler_kwargs.filter_groups": "${algorithm.filter_groups.enable}",
        f"+{sampler}.sampler_kwargs.config": "${visionthink.config}",
        "algorithm.filter_groups.enable": False,
        "algorithm.filter_groups.metric": "reward",
    }


def _trainer(config: RunConfig, plan: VerlPlan) -> dict[str, Override]:
    return {
        "trainer.device": plan.device,
        "trainer.nnodes": plan.num_nodes,
        "trainer.n_gpus_per_node": plan.gpus_per_node,
        # The tracker is told by the process that follows this file: veRL's own MLflow logger goes silent when a
        # resumed run has a changed setting, and calls a failed run finished.
        "trainer.logger": ("console", "file"),
        "trainer.total_training_steps": config.train.num_steps,
        "trainer.total_epochs": config.train.num_steps,
        "trainer.val_before_train": plan.val_rows is not None,
        "trainer.test_freq": config.train.checkpoint_every if plan.val_rows is not None else -1,
        "trainer.save_freq": config.train.checkpoint_every,
        "trainer.default_local_dir": str(plan.checkpoints),
        "trainer.max_actor_ckpt_to_keep": plan.num_checkpoints,
        "trainer.resume_mode": "auto",
        "trainer.checkpoint_callback_class": f"{PACKAGE}.checkpoint_upload.CheckpointUpload",
        "trainer.project_name": "visionthink",
        "trainer.experiment_name": plan.run_id,
        # Each takes a CPU of the cluster, and with too few of them veRL waits without a word.
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": 2 if plan.device == "cuda" else 1,
    }
