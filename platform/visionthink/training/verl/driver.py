"""The process in which veRL is driven: `python -m visionthink.training.verl.driver PLAN CONFIG`.

Rule: veRL's own entry point, with settings composed here instead of by a command line, and with two differences: the
trainer stays on this node, where its files are followed, and the process ends when whoever started it does.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final

import ray
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf, open_dict
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from verl.trainer.constants_ppo import get_ppo_ray_runtime_env
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config
from verl.utils.device import auto_set_device

from visionthink.config import RunConfig, parse_config
from visionthink.errors import EngineError
from visionthink.runs.failure import failure_of, keep_failure
from visionthink.training.verl.environment import handed_on
from visionthink.training.verl.overrides import overrides
from visionthink.training.verl.parent import end_with_parent
from visionthink.training.verl.plan import VerlPlan

_CPU_RAY = {"num_cpus": 8, "object_store_memory": 300 * 2**20}
"""On a machine without a GPU: actors that wait most of the time, and small tensors."""
_RAY_STARTS: Final = 4


class _OnThisNode:
    """veRL starts its trainer on any node; it is to run where its files are read."""

    def remote(self) -> Any:
        """Start it, now that Ray runs."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return TaskRunnerV1.options(scheduling_strategy=here).remote()


def composed(plan: VerlPlan, config: RunConfig, *, joins_ray: bool) -> DictConfig:
    """VeRL's configuration; `joins_ray` says that there is a cluster, which knows its own resources."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        made = compose("ppo_trainer", overrides=overrides(config, plan))
    with open_dict(made):
        made.visionthink = {
            "config": config.model_dump_json(),
            "run_id": plan.run_id,
            "checkpoint_store": plan.checkpoint_store,
            "num_checkpoints": plan.num_checkpoints,
        }
        if not joins_ray:
            # Without an address Ray would join whatever cluster was last started on this machine.
            made.ray_kwargs.ray_init.address = "local"
            made.ray_kwargs.ray_init.include_dashboard = False
            if plan.device == "cpu":
                made.ray_kwargs.ray_init = {
                    **OmegaConf.to_container(made.ray_kwargs.ray_init),
                    **_CPU_RAY,
                    "num_gpus": plan.gpus_per_node,
                }
    return made


def main(plan_path: str, config_path: str) -> None:
    """Train to the end, or leave the reason in the plan's output."""
    end_with_parent()
    plan = VerlPlan.from_json(Path(plan_path).read_text(encoding="utf-8"))
    config = parse_config(Path(config_path).read_text(encoding="utf-8"))
    try:
        made = composed(plan, config, joins_ray="RAY_ADDRESS" in os.environ)
        auto_set_device(made)
        validate_config(made, use_reference_policy=need_reference_policy(made), use_critic=need_critic(made))
        _start_ray(made)
        run_ppo(made, task_runner_class=_OnThisNode())
    except Exception as error:
        keep_failure(plan.output / "error.json", failure_of(_cause(error)))
        raise
    finally:
        ray.shutdown()


def _start_ray(made: DictConfig) -> None:
    """Start or join Ray as veRL would, which then takes what it finds.

    Ray gives its own processes 15 s to start and ends itself when a busy machine takes longer; another try finds their
    files in memory.
    """
    settings = OmegaConf.to_container(made.ray_kwargs.get("ray_init", OmegaConf.create({})), resolve=True)
    runtime = OmegaConf.create(get_ppo_ray_runtime_env(made))
    runtime.setdefault("env_vars", {}).update({"TRANSFER_QUEUE_ENABLE": "1", **handed_on(os.environ)})
    runtime = OmegaConf.merge(runtime, settings.pop("runtime_env", {}))
    for number in range(_RAY_STARTS):
        try:
            ray.init(**settings, runtime_env=OmegaConf.to_container(runtime))
            return
        except Exception as error:
            if number == _RAY_STARTS - 1:
                raise EngineError(f"Ray did not start in {_RAY_STARTS} tries: {error}", retryable=True) from error
            print(f"train: Ray did not start, another try: {error}", flush=True)
            ray.shutdown()


def _cause(error: BaseException) -> BaseException:
    """What was raised in an actor, out of Ray's wrapping."""
    return getattr(error, "cause", None) or error


if __name__ == "__main__":
    main(*sys.argv[1:])
