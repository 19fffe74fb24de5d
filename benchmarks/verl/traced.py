"""Where does the time of an update go? What torch's profiler wrote on a rank, summed by kind of kernel.

Time in which a GPU does nothing is the launching processor's; time of collectives under which nothing else runs is
waiting: for what travels, or for the rank that is last. A window is one mini-batch of the update, by veRL's own
profiler (the options that `scaling.sh` gives).

    python benchmarks/verl/traced.py --out OUT/profile.json OUT/profile/*.json.gz
"""

import argparse
import gzip
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2] / "platform"))

from visionthink.storage import atomic_write_json

_ON_GPU: Final = frozenset({"kernel", "gpu_memcpy", "gpu_memset"})
_KINDS: Final = (
    ("collective", re.compile("nccl", re.I)),
    ("attention", re.compile(r"flash|fmha|attention|softmax_warp", re.I)),
    ("matrix product", re.compile(r"gemm|cutlass|nvjet|xmma|cublas|splitk", re.I)),
    ("copy", re.compile(r"memcpy|memset|copy_kernel|direct_copy|CatArray|chunk_cat|split_with_sizes", re.I)),
)
_MICRO_BATCH: Final = re.compile(r"micro_batch\d+$")
_WAITS: Final = re.compile(r"Synchronize$")

Spans = list[tuple[float, float]]


def kind_of(kernel: str) -> str:
    """What a kernel does, by its name."""
    return next((kind for kind, pattern in _KINDS if pattern.search(kernel)), "other")


def union(spans: Iterable[tuple[float, float]]) -> Spans:
    """The same time, no part of it twice, in order."""
    found: Spans = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def seconds(spans: Spans) -> float:
    """How long these are together; spans are in microseconds."""
    return sum(end - start for start, end in spans) / 1e6


def summary(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What a trace comes to. All figures but counts in seconds; kinds may run beside each other."""
    kernels = [event for event in events if event.get("cat") in _ON_GPU]
    by_kind: dict[str, Spans] = defaultdict(list)
    by_name: Counter[str] = Counter()
    for event in kernels:
        by_kind[kind_of(event["name"])].append((event["ts"], event["ts"] + event["dur"]))
        by_name[event["name"][:120]] += event["dur"]
    busy = union(span for spans in by_kind.values() for span in spans)
    working = union(span for kind, spans in by_kind.items() if kind != "collective" for span in spans)
    rows = [event for event in events if event.get("ph") == "X" and _MICRO_BATCH.match(event["name"])]
    rows = [event for event in rows if event.get("cat") != "gpu_user_annotation"]
    waits = [event["dur"] for event in events if event.get("cat") == "cuda_runtime" and _WAITS.search(event["name"])]
    window = (busy[-1][1] - busy[0][0]) / 1e6 if busy else 0.0
    return {
        "window_s": round(window, 3),
        "gpu_busy_s": round(seconds(busy), 3),
        "gpu_idle_s": round(window - seconds(busy), 3),
        "collectives_alone_s": round(seconds(busy) - seconds(working), 3),
        "by_kind_s": {kind: round(seconds(union(spans)), 3) for kind, spans in sorted(by_kind.items())},
        "processor_waits_for_gpu_s": round(sum(waits) / 1e6, 3),
        "num_kernels": len(kernels),
        "micro_batch_s": [round(event["dur"] / 1e6, 3) for event in sorted(rows, key=lambda one: one["ts"])],
        "longest_kernels_s": {name: round(spent / 1e6, 3) for name, spent in by_name.most_common(12)},
    }


def main() -> None:
    """Sum each file; write one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("traces", type=Path, nargs="+")
    args = parser.parse_args()
    found = {}
    for path in args.traces:
        with gzip.open(path, "rt") as file:
            found[path.name.partition("_pid")[0]] = summary(json.load(file)["traceEvents"])
        print(path.name, json.dumps(found[path.name.partition("_pid")[0]])[:300], flush=True)
    atomic_write_json(args.out, found)


if __name__ == "__main__":
    main()
