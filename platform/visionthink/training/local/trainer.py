"""The training loop: rollouts, update, numbers, checkpoint; again.

Rule: a step is a function of the weights, the seed and the step's number. A run that was killed and goes on from its
checkpoint takes the very steps that it would have taken.
"""

import asyncio
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from safetensors.torch import save
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from visionthink.config import RewardConfig, TrainConfig
from visionthink.core.sample import Sample
from visionthink.engines import Sampling
from visionthink.engines.local_pool import LocalPool
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.driver import derived_seed
from visionthink.episodes.prompting import Prompting
from visionthink.episodes.runner import EpisodeRunner, RunnerLimits
from visionthink.errors import ConfigError
from visionthink.judges import Judge
from visionthink.model.patch_embedding import use_linear_patches
from visionthink.training.local.checkpoint import checkpoint_step, load_checkpoint, save_checkpoint
from visionthink.training.local.optimization import DivergedError, check_finite, update
from visionthink.training.local.policy import Policy
from visionthink.training.local.report import step_metrics
from visionthink.training.local.rollout import Prompt, Rollouts, collect
from visionthink.training.local.schedule import learning_rate
from visionthink.training.order import picked

_BETAS = (0.9, 0.98)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What training is decided by, besides model and prompts."""

    train: TrainConfig
    reward: RewardConfig
    seed: int
    batch_size: int
    max_reply_tokens: int


class LocalTrainer:
    """Trains a model in place."""

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        processor: Qwen2_5_VLProcessor,
        *,
        judge: Judge,
        prompting: Prompting,
        decode: Callable[[Sample], Image.Image],
        setting: Setting,
        checkpoint_dir: Path,
        pool: LocalPool | None = None,
    ) -> None:
        """Train `model`; its weights at this moment are the base that the divergence is measured from.

        `pool` holds copies of the model, with weights in float32, and makes the rollouts: the very same ones, sooner.

        Raises:
            ConfigError: its weights are of half precision.
        """
        _check_precision(model)
        self._setting = setting
        self._judge = judge
        self._decode = decode
        self._checkpoint_dir = checkpoint_dir
        self._model = model
        self._engine = TransformersEngine(model, processor, batch_size=setting.batch_size, name="policy")
        # All rollouts of a step at once: what shares a batch follows from the step alone.
        limits = RunnerLimits(max_in_flight=setting.train.num_prompts * setting.train.group_size)
        self._pool = pool
        self._runner = EpisodeRunner(pool or self._engine, judge, prompting, decode=decode, limits=limits)
        reference = copy.deepcopy(model).requires_grad_(False)
        if setting.train.freeze_vision:
            cast("Any", model).model.visual.requires_grad_(False)
        for each in (model, reference):  # after the copy: a copied closure would go on using the original's weights
            use_linear_patches(each)
        self._policy, self._reference = (
            Policy(
                model=each,
                encoder=self._engine.encoder,
                forbidden_ids=self._engine.forbidden_ids,
                temperature=setting.train.temperature,
            )
            for each in (model, reference)
        )
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.AdamW(trained, lr=setting.train.learning_rate, betas=_BETAS, weight_decay=0.0)

    def run(self, prompts: Sequence[Prompt], on_step: Callable[[int, Mapping[str, float]], None]) -> None:
        """Take all steps that are left, calling `on_step(step, metrics)` after each; `step` counts from 1.

        Engine and judge are closed at the end, however that comes.

        Raises:
            DataError: one of the two labels has no prompt though the mix asks for it.
            DivergedError: a loss, a gradient or a weight is not finite. The last checkpoint is from before that step.
        """
        needed = [prompt for prompt in prompts if prompt.needed]
        rest = [prompt for prompt in prompts if not prompt.needed]
        config = self._setting.train
        first = load_checkpoint(self._checkpoint_dir, self._model, self._optimizer)
        check_finite(self._model)
        with asyncio.Runner() as runner:
            try:
                for step in range(first, config.num_steps):
                    metrics = self._step(step, _pick(step, needed, rest, self._setting), runner)
                    # Told first: a step that a checkpoint holds is never taken again, so nobody could tell it later.
                    on_step(step + 1, metrics)
                    if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.num_steps:
                        save_checkpoint(self._checkpoint_dir, step + 1, self._model, self._optimizer)
            finally:
                runner.run(self._engine.aclose())
                if self._pool is not None:
                    runner.run(self._pool.aclose())
                runner.run(self._judge.aclose())

    def _step(self, step: int, prompts: Sequence[Prompt], runner: asyncio.Runner) -> Mapping[str, float]:
        config = self._setting.train
        rate = learning_rate(step, config)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        start_s = time.perf_counter()
        if self._pool is not None:
            self._pool.take_weights(save(dict(self._model.named_parameters())))
        rollouts = runner.run(self._collect(step, prompts))
        rolled_s = time.perf_counter()
        try:
            stats = update(self._policy, self._reference, self._optimizer, rollouts.rollouts, config)
        except DivergedError as error:
            raise DivergedError(self._advice(step, rate, error)) from error
        return step_metrics(
            rollouts,
            stats,
            learning_rate=rate,
            rollout_s=rolled_s - start_s,
            train_s=time.perf_counter() - rolled_s,
        )

    def _advice(self, step: int, rate: float, error: DivergedError) -> str:
        config, kept = self._setting.train, checkpoint_step(self._checkpoint_dir)
        limit = f"{config.max_grad_norm:g}" if config.max_grad_norm else "0, no limit"
        return (
            f"training diverged at step {step + 1} of {config.num_steps}: {error}, at a learning rate of {rate:g}. The "
            f"state after step {kept} is kept; the same command goes on from there, with the same steps. For smaller "
            f"ones begin a new run with a lower train.learning_rate (now {config.learning_rate:g}) or "
            f"train.max_grad_norm (now {limit}), or with more train.warmup_steps (now {config.warmup_steps})"
        )

    async def _collect(self, step: int, prompts: Sequence[Prompt]) -> Rollouts:
        setting = self._setting
        sampling = Sampling(
            temperature=setting.train.temperature,
            max_tokens=setting.max_reply_tokens,
            seed=derived_seed(setting.seed, step),
        )
        return await collect(
            prompts,
            runner=self._runner,
            decode=self._decode,
            sampling=sampling,
            group_size=setting.train.group_size,
            rule=setting.reward.rule(),
            format_rule=setting.reward.format_rule,
            advantage_eps=setting.reward.advantage_eps,
            advantage_rule=setting.train.advantage,
            tool_weight=setting.train.tool_advantage_weight,
            policy=setting.train.policy,
        )


def _check_precision(model: Qwen2_5_VLForConditionalGeneration) -> None:
    floats = {weight.dtype for weight in model.parameters() if weight.is_floating_point()}
    halves = sorted(str(dtype) for dtype in floats if torch.finfo(dtype).bits < 32)
    if halves:
        raise ConfigError(
            f"weights of {' and '.join(halves)} cannot be trained: an optimizer step is smaller than the gap between "
            "two such numbers and would be lost; load the model with float32 weights (`load_model` does)"
        )


def _pick(step: int, needed: Sequence[Prompt], rest: Sequence[Prompt], setting: Setting) -> list[Prompt]:
    train = setting.train
    return picked(step, needed, rest, num_prompts=train.num_prompts, needed_ratio=train.needed_ratio, seed=setting.seed)
