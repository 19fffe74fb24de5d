"""This machine's Ray node: a child process that ends with this one."""

import sys
from collections.abc import Mapping, Sequence
from subprocess import Popen
from typing import Final

from visionthink.training.node.place import NodePlace
from visionthink.training.node.process import end, start
from visionthink.training.node.setting import NodeSetting

_END_S: Final = 10.0
_PORTS: Final = (
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "node-manager-port",
    "object-manager-port",
)
"""Of Ray's parts, counted on from its own port, so that a NetworkPolicy can name them. And a part that chooses its port
has a quarter of a minute to say which, or its node dies; told the port, the node waits for one part fewer."""


def ray_command(place: NodePlace, setting: NodeSetting) -> list[str]:
    """What starts the node and stays as long as the node does. Nothing is left to what Ray finds on the machine."""
    options: Mapping[str, object] = {
        "node-ip-address": setting.node_ip,
        "num-cpus": setting.num_cpus,
        "num-gpus": setting.num_gpus,
        "object-store-memory": setting.object_store_bytes,
        "temp-dir": setting.temp_dir if place.is_head else None,
        **{name: setting.first_part_port + number for number, name in enumerate(_PORTS)},
        "dashboard-port": setting.first_part_port + len(_PORTS) if place.is_head else None,
    }
    role = (
        ["--head", f"--port={setting.ray_port}", "--include-dashboard=false"]
        if place.is_head
        else [f"--address={address_of(place, setting)}"]
    )
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *role, *given]


def address_of(place: NodePlace, setting: NodeSetting) -> str:
    """Where the head's Ray listens, as this node reaches it."""
    host = setting.node_ip if place.is_head and setting.node_ip else place.head_host
    return f"{host}:{setting.ray_port}"


class RayNode:
    """A running node; leaving the block ends it."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it with `env`, which says nothing of another Ray."""
        self._process: Popen[bytes] = start(command, {name: env[name] for name in env if name != "RAY_ADDRESS"})

    def __enter__(self) -> "RayNode":
        """The node itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        end(self._process, within_s=_END_S)

    @property
    def has_ended(self) -> bool:
        """Whether the node ended by itself."""
        return self._process.poll() is not None
