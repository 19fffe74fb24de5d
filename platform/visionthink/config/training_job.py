"""Settings of a training's job on a cluster: its pods, what they may take, and how long the job may last.

Rule: what a node does stands in `verl`; here stands what Kubernetes is told about it. Nothing here changes a result.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from visionthink import __version__
from visionthink.config.section import Section

_LABEL: Final = r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$"
_QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|Mi|Gi|Ti|M|G|T)?$"

Quantity = Annotated[str, Field(pattern=_QUANTITY)]
Seconds = Annotated[int, Field(ge=1)]


def _is_pair(text: str) -> str:
    if not re.match(r"[^\s=]+=", text):
        raise ValueError(f"{text!r} is not NAME=VALUE")
    return text


def _is_place(text: str) -> str:
    name, colon, path = text.rpartition(":")
    if not colon or not name or not re.fullmatch(r"(/[^/\0:]+)+", path) or "/.." in path:
        raise ValueError(f"{text!r} is not WHAT:/FOLDER; write what is mounted, a colon, and where")
    return text


Pair = Annotated[str, AfterValidator(_is_pair)]
Mounted = Annotated[str, AfterValidator(_is_place)]


class TrainingJobConfig(Section):
    """The PyTorchJob in which veRL trains: a master and `verl.num_nodes` - 1 workers, one node entry point each."""

    image: str = Field(default=f"visionthink/trainer:{__version__}", min_length=1)
    """Image with this package and veRL, the same for all nodes."""
    command: tuple[str, ...] = Field(default=("visionthink",), min_length=1)
    """What starts this program in it."""
    service_account: str = Field(default="visionthink-trainer", pattern=_LABEL)
    """In whose name the pods run; they never talk to the API server."""
    queue: str | None = Field(default=None, pattern=_LABEL)
    """Kueue's LocalQueue; the job is then made suspended, and Kueue lets it start. None starts it at once."""
    priority_class: str | None = Field(default=None, pattern=_LABEL)
    """PriorityClass of the pods."""
    cpu: Quantity | None = None
    """Processors that a node asks for; None means `verl.cpus_per_node`."""
    memory: Quantity = "400Gi"
    """Memory that a node asks for, and its limit: `verl.host_memory_gib` and the shared memory."""
    shared_memory: Quantity = "64Gi"
    """Most of /dev/shm, three quarters of it for Ray's objects; it counts as the container's memory."""
    node_selector: tuple[Pair, ...] = ()
    """Labels that a node must have, as NAME=VALUE."""
    tolerations: tuple[str, ...] = ("nvidia.com/gpu",)
    """Taints (NoSchedule) that are put up with, whatever their value."""
    claims: tuple[Mounted, ...] = ()
    """Volumes, as CLAIM:/FOLDER; the one that holds the run must be readable and writable by all nodes."""
    folders: tuple[Mounted, ...] = ()
    """Folders of the node that the pods see read-only, as /FOLDER:/PLACE. The pod security level `restricted` refuses
    them."""
    writable_folders: tuple[Mounted, ...] = ()
    """The same, to write to: a file system that every node has mounted."""
    env: tuple[Pair, ...] = ()
    """Environment of the pods, as NAME=VALUE."""
    secrets: tuple[str, ...] = ()
    """Secrets whose keys become environment variables: of the object store, the judge, the tracker."""
    ray_secret: str | None = Field(default="visionthink-ray", pattern=_LABEL)
    """Secret whose key `token` Ray's nodes show each other; None lets anybody who reaches a pod in."""
    restart_policy: Literal["OnFailure", "ExitCode"] = "OnFailure"
    """`OnFailure` restarts a container as often as `backoff_limit` says. `ExitCode` ends the job at once on what the
    user must mend, but the training operator 1.9 then counts no restarts: only `active_deadline_s` bounds them."""
    backoff_limit: int = Field(default=3, ge=0)
    """Restarts of all pods together, after which the job has failed."""
    active_deadline_s: Seconds | None = 72 * 3600
    """Seconds from the start after which the job has failed; None for no end."""
    ttl_s: Seconds | None = 24 * 3600
    """Seconds that a finished job stays to be looked at."""
    grace_s: Seconds = 120
    """Seconds between SIGTERM and SIGKILL, in which the program may save."""
    join_timeout_s: Seconds = 900
    """Seconds for all nodes to come."""
