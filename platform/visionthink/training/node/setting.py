"""How a node does its work: ports, what it offers to Ray, and how long it waits for what."""

from dataclasses import dataclass
from pathlib import Path

from visionthink.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSetting:
    """The same for all nodes of a job, but for `node_ip`."""

    num_cpus: int = 1
    """CPUs that Ray is told of; else it would count the machine's, whatever the container may use."""
    num_gpus: int = 0
    """GPUs of each node."""
    ray_port: int = 6379
    """Where the head's Ray listens; its parts, on every node, take the seven ports behind it."""
    part_port: int | None = None
    """First port of this node's own parts, where nodes share a machine; None is the one behind `ray_port`."""
    node_ip: str | None = None
    """Address of this node; None lets Ray find it."""
    temp_dir: Path | None = None
    """Where the head's Ray keeps sockets and logs; None is Ray's own choice. Sockets take short paths only."""
    object_store_bytes: int | None = None
    """Shared memory of each node; None is Ray's own choice."""
    num_storage_units: int = 0
    """Storage processes that veRL starts, each with a CPU of its own; 0 for other programs."""
    join_timeout_s: float = 900.0
    """For all nodes to come, from the start of the head; a worker waits as long for a head."""
    lost_timeout_s: float = 30.0
    """For the program to end by itself when a node is lost; a program that waits for an answer would wait for ever."""
    head_timeout_s: float = 90.0
    """Without an answer from the head, after which a worker takes it for lost. A head that was started anew tells so at
    once, and a busy machine, or its name service, may be silent for a while: leaving it costs all nodes their try."""
    farewell_timeout_s: float = 15.0
    """For the workers to read how it ended, before the head goes."""
    grace_s: float = 30.0
    """Between SIGTERM and SIGKILL, as the pod is given; the program gets all of it but what the end of Ray takes."""
    steps_file: Path | None = None
    """File in which the program tells its steps, a JSON object a line as veRL's file logger writes them."""
    num_steps: int = 0
    """Steps of the whole training; 0 when nobody knows."""

    def __post_init__(self) -> None:
        """Refuse times and counts that mean nothing."""
        if self.num_cpus < 1 or self.num_gpus < 0:
            raise ConfigError(f"a node has at least one CPU, and GPUs from 0 on, got {self.num_cpus}, {self.num_gpus}")

    @property
    def first_part_port(self) -> int:
        """Where the ports of Ray's parts begin on this node."""
        return self.ray_port + 1 if self.part_port is None else self.part_port

    @property
    def program_grace_s(self) -> float:
        """What a program gets of the grace period to save its work."""
        return self.grace_s - min(10.0, self.grace_s / 3)


def check_cpus(setting: NodeSetting, num_nodes: int) -> None:
    """Refuse fewer CPUs than veRL takes, with which it waits for ever without a word.

    Its placement groups take three CPUs a GPU, TransferQueue one for its controller and one for each storage unit, and
    its task runner one.

    Raises:
        ConfigError: there are too few.
    """
    if not setting.num_storage_units:
        return
    needed = 3 * setting.num_gpus * num_nodes + 2 + setting.num_storage_units
    there = setting.num_cpus * num_nodes
    if there < needed:
        raise ConfigError(
            f"{num_nodes} nodes of {setting.num_cpus} CPUs have {there}, but veRL takes {needed} (3 for each of "
            f"{setting.num_gpus * num_nodes} GPUs, 2, and one for each of {setting.num_storage_units} storage units) "
            "and would wait for the rest for ever; give the nodes more CPUs, or lower verl.num_storage_units"
        )
