"""A vLLM of this machine's own: started, waited for, looked into, ended.

Rule: its port is free when it starts, its log is kept, and whatever it started ends with it. Between two measurements
its caches are emptied, so that no figure is made of what an earlier one left behind.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SERVED: Final = "shape"
READY_S: Final = 420.0
VLLM_ARGS: Final = (
    "--dtype=bfloat16 --max-model-len=8192 --max-num-seqs=512 --max-num-batched-tokens=16384 "
    "--gpu-memory-utilization=0.9"
)
_COUNTED: Final = (
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:mm_cache_queries_total",
    "vllm:mm_cache_hits_total",
    "vllm:iteration_tokens_total_count",
    "vllm:iteration_tokens_total_sum",
)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Process:
    """A process in a session of its own, whose output goes to a file."""

    def __init__(self, command: Sequence[str], log: Path, env: dict[str, str] | None = None) -> None:
        """Start it; `env` is added to this process's own."""
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                env={**os.environ, **(env or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def session(self) -> int:
        """Number of its session."""
        return self._process.pid

    def wait_until(self, url: str, timeout_s: float) -> float:
        """Wait until `url` answers 200; return the seconds.

        Raises:
            RuntimeError: it ended, or took too long; the end of its log is told.
        """
        start_s = time.monotonic()
        while fetched(url) is None:
            if self._process.poll() is not None or time.monotonic() - start_s > timeout_s:
                told = self.log.read_text(errors="replace")[-4000:]
                raise RuntimeError(f"{url} did not answer within {timeout_s:g} s; the end of {self.log}:\n{told}")
            time.sleep(0.3)
        return time.monotonic() - start_s

    def stop(self, timeout_s: float = 20.0) -> None:
        """End it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a vLLM is to be found, whoever started it."""

    url: str
    session: int
    """Number of its session, to tell what it uses."""
    home: str
    """Folder with its log and its traces."""


def attached(file: Path) -> list[Place]:
    """The places that `replicas.py` wrote down."""
    return [Place(**one) for one in json.loads(file.read_text())]


@contextmanager
def pinned(cores: Iterable[int]) -> Iterator[None]:
    """What is started within keeps to these processors; to any where there are none."""
    before, wanted = os.sched_getaffinity(0), set(cores)
    if wanted:
        os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def fetched(url: str, *, method: str = "GET", timeout_s: float = 30.0) -> str | None:
    """The text at `url`; None where it does not answer with 200."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urllib.request.Request(url, method=method), timeout=timeout_s) as response:
            return str(response.read().decode()) if response.status == 200 else None
    except OSError:
        return None


def start_vllm(
    model: Path, home: Path, *, port: int, python: str, num_servers: int, arguments: Sequence[str], env: dict[str, str]
) -> Process:
    """Start it over the folder `model`, with random weights."""
    # Only the command line starts several API servers; the module is one.
    entry = ["vllm.entrypoints.openai.api_server", "--model", str(model)]
    if num_servers > 1:
        entry = ["vllm.entrypoints.cli.main", "serve", str(model), f"--api-server-count={num_servers}"]
    command = [python, "-m", *entry, "--load-format=dummy", f"--served-model-name={SERVED}", "--host=127.0.0.1"]
    command += [f"--port={port}", "--disable-uvicorn-access-log", "--enable-prefix-caching", *arguments]
    own = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_SERVER_DEV_MODE": "1"}
    return Process(command, home / "vllm.log", {**own, **env})


def emptied(url: str, num_servers: int) -> bool:
    """Empty the caches of vLLM; each API server has its own of pictures, and any of them may answer."""
    found = [fetched(f"{url}/reset_prefix_cache", method="POST") is not None]
    for _ in range(1 if num_servers == 1 else 6 * num_servers):
        found.append(fetched(f"{url}/reset_mm_cache", method="POST") is not None)
    return all(found)


def counters(url: str) -> dict[str, float]:
    """What vLLM counts of its caches and its steps; each of its API servers counts a step anew."""
    totals = dict.fromkeys(_COUNTED, 0.0)
    for line in (fetched(f"{url}/metrics") or "").splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        if name in totals:
            totals[name] += float(line.rsplit(" ", 1)[1])
    return totals


class GpuWatch:
    """How busy the GPU is within a block; None where it cannot be told."""

    def __init__(self) -> None:
        """Nothing is seen yet."""
        self._told: list[tuple[float, ...]] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "GpuWatch":
        """Begin to look, twice a second."""
        asked = ["nvidia-smi", "--query-gpu=utilization.gpu,power.draw", "--format=csv,noheader,nounits", "-lms=500"]
        if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
            asked.append(f"--id={visible}")
        with suppress(OSError):
            self._process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Look no longer."""
        if self._process is not None:
            self._process.terminate()
            told, _ = self._process.communicate(timeout=10)
            for line in told.splitlines():
                with suppress(ValueError):
                    self._told.append(tuple(float(word) for word in line.split(",")))

    def means(self) -> dict[str, float] | None:
        """Per cent of the time in which a kernel ran, and watts."""
        rows = [row for row in self._told if len(row) == 2]
        if not rows:
            return None
        busy, power = (round(sum(row[k] for row in rows) / len(rows), 1) for k in (0, 1))
        return {"busy_percent": busy, "power_w": power}


def hit_ratios(gained: dict[str, float]) -> dict[str, float | None]:
    """Of the caches, from what was counted in between; None where nothing was asked."""

    def ratio(name: str) -> float | None:
        asked = gained[f"vllm:{name}_queries_total"]
        return round(gained[f"vllm:{name}_hits_total"] / asked, 4) if asked else None

    return {"prefix_hit_ratio": ratio("prefix_cache"), "picture_hit_ratio": ratio("mm_cache")}


def cpu_seconds_by_process(session: int) -> dict[str, float]:
    """Seconds of a core that the processes of a session have used and are still there to tell, by name and number."""
    ticks, found = os.sysconf("SC_CLK_TCK"), {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            head, _, tail = path.read_text().rpartition(")")
            fields = tail.split()
            if int(fields[3]) == session:
                name = f"{head.partition('(')[2]} {path.parent.name}"
                found[name] = (int(fields[11]) + int(fields[12])) / ticks
    return found


def cpu_seconds(session: int) -> float:
    """The sum of them."""
    return sum(cpu_seconds_by_process(session).values())


def end_on_sigterm() -> None:
    """Let SIGTERM end this process as an exception does, so that what it started ends with it."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
