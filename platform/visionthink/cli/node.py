"""The command `train node`: what every pod of a PyTorchJob runs."""

from pathlib import Path
from typing import Annotated

import typer

_Program = Annotated[
    list[str], typer.Argument(help="The command to run on the first node, behind --.", metavar="COMMAND...")
]
_Cpus = Annotated[int, typer.Option("--cpus", help="CPUs of this node that Ray may use.")]
_Gpus = Annotated[int, typer.Option("--gpus", help="GPUs of each node.")]
_Port = Annotated[
    int, typer.Option("--ray-port", help="Where Ray listens on the first node; it takes seven more behind it.")
]
_PartPort = Annotated[
    int | None,
    typer.Option("--part-port", help="First of those seven. Default: behind --ray-port; nodes of one machine differ."),
]
_Ip = Annotated[str | None, typer.Option("--node-ip", help="Address of this node. Default: found by Ray.")]
_TempDir = Annotated[Path | None, typer.Option("--temp-dir", help="Ray's sockets and logs; a short path.")]
_Store = Annotated[int | None, typer.Option("--object-store-bytes", help="Shared memory of this node for Ray.")]
_Units = Annotated[int, typer.Option("--storage-units", help="veRL's storage processes, to check the CPUs for.")]
_Join = Annotated[float, typer.Option("--join-timeout", help="Seconds for all nodes to come.")]
_Lost = Annotated[float, typer.Option("--lost-timeout", help="Seconds that a program may go on without a node.")]
_HeadGone = Annotated[
    float, typer.Option("--head-timeout", help="Seconds until a silent first node is taken for lost.")
]
_Farewell = Annotated[float, typer.Option("--farewell-timeout", help="Seconds for all nodes to hear how it ended.")]
_Grace = Annotated[float, typer.Option("--grace", help="Seconds between SIGTERM and SIGKILL, as the pod is given.")]
_StepsFile = Annotated[Path | None, typer.Option("--steps-file", help="veRL's file of steps, to tell them from.")]
_Steps = Annotated[int, typer.Option("--steps", help="Steps of the whole training.")]


def node(
    program: _Program,
    cpus: _Cpus = 1,
    gpus: _Gpus = 0,
    ray_port: _Port = 6379,
    part_port: _PartPort = None,
    node_ip: _Ip = None,
    temp_dir: _TempDir = None,
    object_store_bytes: _Store = None,
    storage_units: _Units = 0,
    join_timeout: _Join = 900.0,
    lost_timeout: _Lost = 30.0,
    head_timeout: _HeadGone = 90.0,
    farewell_timeout: _Farewell = 15.0,
    grace: _Grace = 30.0,
    steps_file: _StepsFile = None,
    steps: _Steps = 0,
) -> None:
    """Be one node of a training: start Ray, join the others, and on the first node run COMMAND.

    The environment says which node this is, as PyTorchJob sets it. The exit code is 0 when the command succeeded, 2
    when the user must mend something, 143 after SIGTERM, and 200 when another try may succeed.
    """
    from visionthink.training.node import NodeSetting, run_node

    setting = NodeSetting(
        num_cpus=cpus,
        num_gpus=gpus,
        ray_port=ray_port,
        part_port=part_port,
        node_ip=node_ip,
        temp_dir=temp_dir,
        object_store_bytes=object_store_bytes,
        num_storage_units=storage_units,
        join_timeout_s=join_timeout,
        lost_timeout_s=lost_timeout,
        head_timeout_s=head_timeout,
        farewell_timeout_s=farewell_timeout,
        grace_s=grace,
        steps_file=steps_file,
        num_steps=steps,
    )
    raise typer.Exit(run_node(setting, program))
