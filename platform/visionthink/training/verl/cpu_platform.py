"""A platform without a GPU for veRL: the whole trainer runs on a laptop or in CI, slowly.

Extension points: `PlatformRegistry` (chosen by VERL_PLATFORM=cpu), `RolloutReplicaRegistry` and the table of rollout
adapters. Imported by every process through VERL_USE_EXTERNAL_MODULES. Rule: what a GPU would answer is answered with
the CPU's truth, or with nothing where nothing is asked for an effect.
"""

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
import torch.distributed
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry
from verl.workers.rollout import base as rollout_base
from verl.workers.rollout.replica import RolloutReplicaRegistry

ROLLOUT: Final = "visionthink_cpu"
"""The name of the rollout that runs the model with transformers."""
_GIB: Final = 2**30
_GLOO: Final = "cpu:gloo"


class _CpuDevice(types.ModuleType):
    """What `torch.cuda` is to a GPU: torch's own module of the CPU knows a few of its functions only."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _ANSWERS:
            return _ANSWERS[name]
        return getattr(torch.cpu, name, None) or _nothing


def _nothing(*_: Any, **__: Any) -> None:
    """Of counters, caches and streams there are none."""


def _always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


_ANSWERS: Final[dict[str, Callable[..., Any]]] = {
    "mem_get_info": _always((8 * _GIB, 16 * _GIB)),
    "device_count": _always(1),
    "is_available": _always(True),
    "get_device_name": _always("cpu"),
    "get_rng_state": lambda *_, **__: torch.get_rng_state(),
    "set_rng_state": lambda state, *_, **__: torch.set_rng_state(state),
    "stream": lambda *_, **__: contextlib.nullcontext(),
    **{
        name: _always(0)
        for name in ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved")
    },
    "current_device": _always(0),
}


@PlatformRegistry.register("cpu")
class CpuPlatform(PlatformBase):  # type: ignore[misc]
    """One device, which is the CPU."""

    device_name = "cpu"
    vendor_name = "generic"
    device_module = _CpuDevice("cpu_device")

    def is_available(self) -> bool:
        """Say yes."""
        return True

    def current_device(self) -> torch.device:
        """Return the CPU."""
        return torch.device("cpu")

    def device_count(self) -> int:
        """Count one a process."""
        return 1

    def set_device(self, index: int) -> None:
        """Do nothing: there is no other."""

    def synchronize(self, index: int | None = None) -> None:
        """Do nothing: what was called has been done."""

    def manual_seed(self, seed: int) -> None:
        """Seed torch."""
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        """Seed torch."""
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """Do nothing: the allocator is the system's."""

    def empty_cache(self) -> None:
        """Do nothing: there is no cache."""

    def get_device_capability(self, index: int | None = None) -> tuple[None, None]:
        """Return nothing: it has none."""
        return None, None

    def communication_backend_name(self) -> str:
        """Name the backend of torch.distributed."""
        return "gloo"

    def visible_devices_envvar(self) -> str:
        """Name a variable that veRL may set; nobody reads it."""
        return "CUDA_VISIBLE_DEVICES"

    @contextlib.contextmanager
    def nvtx_range(self, message: str) -> Iterator[None]:
        """Mark nothing."""
        yield

    def profiler_start(self) -> None:
        """Do nothing."""

    def profiler_stop(self) -> None:
        """Do nothing."""

    def ray_resource_name(self) -> str:
        """Name the resource that Ray counts: a node says itself how many it has (`--num-gpus`)."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        """Name the variable that keeps Ray from hiding devices."""
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        """Say no: weights travel by value."""
        return False

    def cudart(self) -> None:
        """Return nothing."""


def _replica() -> Any:
    from visionthink.training.verl.cpu_rollout import CpuReplica

    return CpuReplica


def _one_backend(init: Callable[..., Any]) -> Callable[..., Any]:
    """VeRL names the backends of CPU and device; here both are the CPU's, which torch refuses to be told twice."""

    def init_process_group(backend: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if backend is not None and backend.count(_GLOO) > 1:
            backend = _GLOO
        return init(backend, *args, **kwargs)

    return init_process_group


def _unpinned(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Without a GPU there is nothing to pin memory for, and torch refuses to."""
    return tensor


RolloutReplicaRegistry.register(ROLLOUT, _replica)
rollout_base._ROLLOUT_REGISTRY[(ROLLOUT, "async")] = "visionthink.training.verl.cpu_rollout.CpuAdapter"
torch.distributed.init_process_group = _one_backend(torch.distributed.init_process_group)
torch.distributed.distributed_c10d.init_process_group = torch.distributed.init_process_group
torch.Tensor.pin_memory = _unpinned  # type: ignore[assignment,method-assign]
