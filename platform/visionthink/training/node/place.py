"""Which node of how many this process is, as PyTorchJob's environment says. Pure.

Rule: torchrun's variables say where this node stands, and then they go: Ray hands its environment to every process that
it starts, and a rank that means the node would be taken for a GPU's there.
"""

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from visionthink.errors import ConfigError

_LEAKING: Final = frozenset({"MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"})
_ELASTIC: Final = "PET_"
_RAY_DEFAULTS: Final[Mapping[str, str]] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A node whose agents do not start within half a minute dies; on a busy machine their imports alone take longer.
    "RAY_agent_register_timeout_ms": "120000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlace:
    """Where this node stands among the nodes of its job."""

    rank: int
    """0 is the head."""
    num_nodes: int
    head_host: str
    """A name that leads to the head, also after it was started anew."""
    ray_address: str | None = None
    """A Ray that is there already; then nothing is started but the program."""

    @property
    def is_head(self) -> bool:
        """Whether the program runs here."""
        return self.rank == 0


def place_of(env: Mapping[str, str]) -> NodePlace:
    """The place that the environment tells; without a word in it, the only node.

    Raises:
        ConfigError: the variables contradict each other, or name a number of nodes that may change.
    """
    num_nodes = _number(env, ("PET_NNODES",), 1)
    rank = _number(env, ("PET_NODE_RANK", "RANK"), 0)
    if not 0 <= rank < num_nodes:
        raise ConfigError(
            f"this is node {rank} of {num_nodes} (PET_NODE_RANK or RANK, PET_NNODES), but nodes are counted from 0; "
            "let the PyTorchJob set them"
        )
    host = env.get("PET_MASTER_ADDR") or env.get("MASTER_ADDR") or ""
    if num_nodes > 1 and not host:
        raise ConfigError(f"this is one of {num_nodes} nodes, but MASTER_ADDR does not say which is the first; set it")
    return NodePlace(
        rank=rank, num_nodes=num_nodes, head_host=host or "127.0.0.1", ray_address=env.get("RAY_ADDRESS") or None
    )


def settle_environment(env: MutableMapping[str, str]) -> None:
    """Make the environment fit for Ray: no ranks of torchrun, and a word on whether nodes show a token.

    Without that word a node with a token file in its home asks for tokens, and the others are refused.

    Raises:
        ConfigError: tokens are demanded and there is none.
    """
    for name in [name for name in env if name in _LEAKING or name.startswith(_ELASTIC)]:
        del env[name]
    for name, value in _RAY_DEFAULTS.items():
        env.setdefault(name, value)
    has_token = bool(env.get("RAY_AUTH_TOKEN") or env.get("RAY_AUTH_TOKEN_PATH"))
    env.setdefault("RAY_AUTH_MODE", "token" if has_token else "disabled")
    if env["RAY_AUTH_MODE"] == "token" and not has_token:
        raise ConfigError(
            "RAY_AUTH_MODE is token, but there is none in RAY_AUTH_TOKEN; take it from a Secret, the same for all nodes"
        )


def current_place() -> NodePlace:
    """The place of this process, whose environment is settled."""
    place = place_of(os.environ)
    settle_environment(os.environ)
    return place


def _number(env: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        if text := env.get(name):
            try:
                return int(text)
            except ValueError:
                raise ConfigError(
                    f"{name} is {text!r}, but Ray needs one number of nodes; take the elasticPolicy out of the job"
                ) from None
    return default
