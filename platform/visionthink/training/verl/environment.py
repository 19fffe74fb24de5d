"""What veRL's processes find in their environment, on every node. Pure.

Rule: what the user has set stays. Ray starts a process with the environment of its own node, which knows nothing of
ours where that Ray was there before the training: so what is set here is also handed to Ray, with the job.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import visionthink
from visionthink.config import RunConfig
from visionthink.training.verl.overrides import PACKAGE
from visionthink.training.verl.plan import VerlPlan

_DEFAULTS: Final[Mapping[str, str]] = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
}
_RAY: Final[Mapping[str, str]] = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
"""Of a Ray that is started here; one that is there already has its own."""
_STEPS: Final = "VERL_FILE_LOGGER_PATH"
_MODULES: Final = "VERL_USE_EXTERNAL_MODULES"
_VENDOR: Final = "VERL_ENGINE_VENDOR"
_CPU: Final[Mapping[str, str]] = {
    "VERL_PLATFORM": "cpu",
    # veRL's engines are registered for CUDA; torch itself takes the device from the platform.
    "VERL_ENGINE_DEVICE": "cuda",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_HANDED_ON: Final = (*_DEFAULTS, "PYTHONPATH", _STEPS, _MODULES, _VENDOR, *_CPU)


def environment(plan: VerlPlan, config: RunConfig, env: Mapping[str, str], *, steps: Path) -> dict[str, str]:
    """What the process that drives veRL is to find; `steps` is where veRL is to tell its steps."""
    made = {**_DEFAULTS, **_RAY, **env, _STEPS: str(steps)}
    package = str(Path(visionthink.__file__).parents[1])
    made["PYTHONPATH"] = os.pathsep.join(filter(None, (package, env.get("PYTHONPATH"))))
    modules = [f"{PACKAGE}.patches"]
    if config.train.freeze_vision:
        made[_VENDOR] = "visionthink"
    if plan.device == "cpu":
        modules.append(f"{PACKAGE}.cpu_platform")
        made |= _CPU
    return made | {_MODULES: ",".join(modules)}


def handed_on(env: Mapping[str, str]) -> dict[str, str]:
    """What of the driver's environment every process of veRL needs, on whichever node."""
    return {name: env[name] for name in _HANDED_ON if name in env}
