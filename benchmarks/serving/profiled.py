"""Where does the GPU's time go while vLLM is under load? A few seconds of it in torch's profiler, summed up.

vLLM has to be started with `ARGUMENTS` and `ENV`. Its own scopes tell which part of a step launched a kernel: the
tower runs in `preprocess`, the language model in `forward` (vllm/v1/worker/gpu_model_runner.py@v0.24.0).
"""

import gzip
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from vllm_server import fetched

ENV: Final = {"VLLM_CUSTOM_SCOPES_FOR_PROFILING": "1"}
_STOP_S: Final = 180.0
_GROUPS: Final = (
    ("attention", ("flash", "fmha", "attention")),
    ("matrix products", ("gemm", "nvjet", "cutlass", "cublas", "splitk")),
    ("sampling", ("softmax", "argmax", "topk", "sort", "sampl")),
    ("copies", ("memcpy", "memset", "copy")),
)


def arguments(folder: Path) -> list[str]:
    """What vLLM is started with to write its traces there."""
    config = {
        "profiler": "torch",
        "torch_profiler_dir": str(folder),
        "torch_profiler_with_stack": False,
        "torch_profiler_dump_cuda_time_total": False,
        "ignore_frontend": True,
    }
    return [f"--profiler-config={json.dumps(config)}"]


def recorded(url: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Let the profiler run for so long; the sums of the trace that it wrote.

    Raises:
        RuntimeError: vLLM did not start it, or wrote nothing.
    """
    before = set(folder.glob("*.json*"))
    if fetched(f"{url}/start_profile", method="POST") is None:
        raise RuntimeError(f"{url}/start_profile was refused: was vLLM started with --profiler-config?")
    time.sleep(seconds)
    fetched(f"{url}/stop_profile", method="POST", timeout_s=_STOP_S)
    written = sorted(set(folder.glob("*.json*")) - before, key=lambda path: path.stat().st_size)
    if not written:
        raise RuntimeError(f"no trace was written to {folder} within {_STOP_S:g} s")
    return summed(events_of(written[-1]))


def events_of(path: Path) -> list[dict[str, Any]]:
    """The events of a Chrome trace, compressed or not."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(json.loads(data)["traceEvents"])


def summed(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Shares of the time between the first kernel and the last one: by part of the step, by kind of kernel, idle.

    Times of traces are microseconds. Where kernels run side by side their shares add up to more than what is busy.
    """
    spans = [event for event in events if event.get("ph") == "X" and "dur" in event]
    kernels = sorted(
        (event for event in spans if event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")),
        key=lambda event: float(event["ts"]),
    )
    scopes = [event for event in spans if event.get("cat") == "gpu_user_annotation"]
    host = [event for event in spans if event.get("cat") == "user_annotation"]
    if not kernels:
        return {"kernels": 0, "host_ms": _by_name(host)}
    first_us = float(kernels[0]["ts"])
    whole_us = max(float(event["ts"]) + float(event["dur"]) for event in kernels) - first_us
    parts, kinds, slowest = defaultdict(float), defaultdict(float), defaultdict(float)
    for event, scope in zip(kernels, _innermost(kernels, scopes), strict=True):
        duration = float(event["dur"])
        parts[scope] += duration
        kinds[f"{scope}: {_kind(event['name'])}"] += duration
        slowest[event["name"][:90]] += duration
    return {
        "kernels": len(kernels),
        "seconds": round(whole_us / 1e6, 3),
        "steps": sum(event["name"].endswith("forward") for event in host),
        "busy": round(_covered(kernels) / whole_us, 4),
        "parts": _shares(parts, whole_us),
        "kinds": _shares(kinds, whole_us),
        "slowest": dict(list(_shares(slowest, whole_us).items())[:12]),
        "host_ms": _by_name(host),
    }


def _kind(name: str) -> str:
    low = name.lower()
    return next((kind for kind, words in _GROUPS if any(word in low for word in words)), "other")


def _shares(found: dict[str, float], whole: float) -> dict[str, float]:
    return {name: round(value / whole, 4) for name, value in sorted(found.items(), key=lambda item: -item[1])}


def _by_name(events: Iterable[dict[str, Any]], count: int = 16) -> dict[str, dict[str, float]]:
    """How often each scope was entered on the host, and its mean time there."""
    found: dict[str, list[float]] = defaultdict(list)
    for event in events:
        name = str(event["name"])
        found["execute" if name.startswith("execute_") else name].append(float(event["dur"]))
    order = sorted(found.items(), key=lambda item: -sum(item[1]))[:count]
    return {name: {"calls": len(times), "mean_ms": round(sum(times) / len(times) / 1e3, 3)} for name, times in order}


def _covered(kernels: Sequence[dict[str, Any]]) -> float:
    """Microseconds in which at least one of them ran; they come by their beginning."""
    total, end_us = 0.0, 0.0
    for event in kernels:
        start, stop = float(event["ts"]), float(event["ts"]) + float(event["dur"])
        total += max(0.0, stop - max(start, end_us))
        end_us = max(end_us, stop)
    return total


def _innermost(kernels: Sequence[dict[str, Any]], scopes: Sequence[dict[str, Any]]) -> list[str]:
    """The scope of each kernel: of those that hold its beginning, the one that began last."""
    waiting = sorted(scopes, key=lambda event: float(event["ts"]))
    opened: list[dict[str, Any]] = []
    found, place = [], 0
    for kernel in kernels:
        at = float(kernel["ts"])
        while place < len(waiting) and float(waiting[place]["ts"]) <= at:
            opened.append(waiting[place])
            place += 1
        opened = [event for event in opened if float(event["ts"]) + float(event["dur"]) >= at]
        name = str(opened[-1]["name"]) if opened else "outside"
        found.append("execute" if name.startswith("execute_") else name.removeprefix("gpu_model_runner: "))
    return found
