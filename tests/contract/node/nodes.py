"""Three nodes of one job on one machine: each an entry point of its own, with PyTorchJob's environment."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

NUM_NODES: Final = 3
START_S: Final = 300.0
"""For nodes to come and a program to be at work: ten seconds on a quiet machine, and Ray starts anew on a busy one."""
_PROGRAM: Final = Path(__file__).with_name("counting.py")


@dataclass(kw_only=True)
class Job:
    """The pods of one job."""

    folder: Path
    ray_dir: Path
    port: int
    program: Sequence[str]
    options: Sequence[str] = ()
    pods: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, *ranks: int) -> None:
        for rank in ranks:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
            with (self.folder / f"node-{rank}.log").open("ab") as log:
                self.pods[rank] = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "visionthink", "train", "node", f"--node-ip=127.0.0.{rank + 2}"),
                        *(
                            f"--ray-port={self.port}",
                            f"--part-port={self.port + 1 + 8 * rank}",
                            f"--temp-dir={self.ray_dir}",
                            "--object-store-bytes=78643200",
                        ),
                        *("--head-timeout=5", "--lost-timeout=5", "--farewell-timeout=10"),
                        *(f"--join-timeout={START_S:g}", "--grace=60", *self.options),
                        *("--", sys.executable, str(_PROGRAM), f"--folder={self.folder}", *self.program),
                    ],
                    env=environment | _pytorchjob(rank) | _RAY | {_MARK: str(self.ray_dir)},
                    stdout=log,
                    stderr=log,
                )

    @property
    def count(self) -> int:
        told = self.folder / "count.json"
        return int(json.loads(told.read_text())["count"]) if told.exists() else 0

    def tries(self) -> set[str]:
        return {path.name for path in self.folder.glob("try-from-*")}

    def go(self) -> None:
        (self.folder / "go").touch()

    def kill(self, rank: int) -> None:
        """End a pod as a lost machine does: all of its processes at once."""
        pod = psutil.Process(self.pods[rank].pid)
        for process in [pod, *pod.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.pods[rank].wait()

    def end(self, rank: int, within_s: float = START_S) -> int:
        """The exit code of a pod."""
        return self.pods[rank].wait(within_s)

    def log(self, rank: int) -> str:
        return (self.folder / f"node-{rank}.log").read_text()

    def left(self) -> list[str]:
        """Processes that nobody ended."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == str(self.ray_dir) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline())[:200])
        return found


_MARK: Final = "VISIONTHINK_TEST_JOB"
_RAY: Final = {
    # Ray's own waits, shortened: a lost node is noticed in seconds.
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
}


def _pytorchjob(rank: int) -> dict[str, str]:
    """What the training operator 1.9 sets in every container."""
    return {
        "PYTHONUNBUFFERED": "1",
        "MASTER_ADDR": "127.0.0.2",
        "MASTER_PORT": "23456",
        "WORLD_SIZE": str(NUM_NODES),
        "RANK": str(rank),
        "PET_MASTER_ADDR": "127.0.0.2",
        "PET_MASTER_PORT": "23456",
        "PET_NODE_RANK": str(rank),
        "PET_NNODES": str(NUM_NODES),
        "PET_NPROC_PER_NODE": "1",
    }


@contextlib.contextmanager
def job(folder: Path, *program: str, options: Sequence[str] = ()) -> Iterator[Job]:
    with tempfile.TemporaryDirectory(prefix="vt-", dir="/tmp") as ray_dir:  # Ray's sockets want a short path
        made = Job(folder=folder, ray_dir=Path(ray_dir), port=free_port(), program=program, options=options)
        try:
            yield made
        finally:
            for rank, pod in made.pods.items():
                if pod.poll() is None:
                    made.kill(rank)


def free_port() -> int:
    """The first of eight in a row that nobody listens on; below those that systems hand out by themselves."""
    for first in random.Random(os.getpid()).sample(range(20000, 30000, 8), 50):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + 1 + 8 * NUM_NODES):
                stack.enter_context(socket.socket()).bind(("", port))
            return first
    raise AssertionError("not enough ports in a row are free")


def until(condition: Callable[[], bool], within_s: float = START_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.1)


SIGTERM: Final = signal.SIGTERM
