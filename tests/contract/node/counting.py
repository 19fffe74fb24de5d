"""A program: a small Ray program that counts on every node at once, keeps its count, and goes on from what it kept.

It holds at `--hold` until the file `go` is there, so that a test can do things to it in mid-run.
"""

import argparse
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import ray


class Counter:
    def add(self, number: int) -> int:
        return number + 1


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--hold", type=int, default=-1)
    parser.add_argument("--fail", type=int, default=0, help="the code to end with at --hold, instead of holding")
    given = parser.parse_args()
    told = given.folder / "count.json"
    count = json.loads(told.read_text())["count"] if told.exists() else 0
    ray.init(
        address=os.environ["RAY_ADDRESS"],
        _node_ip_address=socket.gethostbyname(os.environ["RAY_ADDRESS"].partition(":")[0]),
        log_to_driver=False,
    )
    asked_to_go = []
    signal.signal(signal.SIGTERM, lambda *_: asked_to_go.append(True))  # behind Ray's start, which sets its own
    nodes = [node for node in ray.nodes() if node["Alive"]]
    remote: Any = ray.remote(num_cpus=1, max_restarts=0)(Counter)
    counters = [remote.options(resources={f"node:{node['NodeManagerAddress']}": 0.01}).remote() for node in nodes]
    (given.folder / f"try-from-{count}").write_text(json.dumps({"nodes": len(nodes), "leaked": leaked()}))
    while count < given.steps:
        assert len(set(ray.get([counter.add.remote(count) for counter in counters], timeout=60))) == 1
        count += 1
        keep(told, count)
        if count == given.hold and given.fail:
            return int(given.fail)
        while count == given.hold and not (given.folder / "go").exists():
            ray.get([counter.add.remote(count) for counter in counters], timeout=60)
            if asked_to_go:
                (given.folder / "saved").write_text(str(count))
                return 1
            time.sleep(0.1)
    return 0


def leaked() -> list[str]:
    return [name for name in os.environ if name in ("RANK", "WORLD_SIZE", "MASTER_ADDR") or name.startswith("PET_")]


def keep(path: Path, count: int) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"count": count}))
    temporary.rename(path)
    with (path.parent / "steps.jsonl").open("a") as file:
        file.write(json.dumps({"step": count, "data": {"timing_s/step": 0.5, "reward/mean": 1.25}}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
