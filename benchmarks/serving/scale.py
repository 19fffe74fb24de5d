"""Does one gateway keep several GPUs as busy as one? A replica of vLLM on each GPU, decisions forced, all through HTTP.

The loop at some resize rates, first before one replica and then before all of them, with clients in proportion: what
the gateway costs by then, and whether the two turns of an episode met the same replica (vLLM's own counters: a second
turn that went elsewhere would find no prefix there). See `h100.py` for what is forced and how a rate is told.

    python benchmarks/serving/scale.py --out benchmarks/results/scale/serving.json --replicas 4
    python benchmarks/serving/scale.py --out /tmp/tiny.json --replicas 2 --shape tiny --size 256x192 --clients 4 \
        --window-s 4 --pictures 200 --device cpu \
        --vllm-args "--dtype=float32 --block-size=32 --max-model-len=2048 --enforce-eager"
"""

import argparse
import asyncio
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from h100 import start_apps
from load import Server, Window, closed_loop
from point import Point, Setup, asks, job_of
from replicas import options as replica_options
from replicas import start_all, wait_ready
from shown import prepare_all
from summary import device, versions
from vllm_server import (
    Place,
    Process,
    attached,
    counters,
    cpu_seconds,
    emptied,
    end_on_sigterm,
    fetched,
    hit_ratios,
)

from visionthink.core.geometry import Size
from visionthink.storage import atomic_write_json

_ANSWERED: Final = "vllm:request_success_total"


def answered(place: Place) -> float:
    """Requests that a replica has answered."""
    lines = (fetched(f"{place.url}/metrics") or "").splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(_ANSWERED))


@dataclass(frozen=True, slots=True)
class Gateway:
    """The processes of our app that stand before so many replicas."""

    replicas: tuple[Place, ...]
    apps: tuple[Process, ...]
    servers: tuple[Server, ...]

    def counted(self) -> dict[str, float]:
        """What has been used and counted by now, summed over the replicas."""
        found = {
            "at": time.perf_counter(),
            "gateway_s": sum(cpu_seconds(app.session) for app in self.apps),
            "vllm_s": sum(cpu_seconds(one.session) for one in self.replicas),
        }
        for one in self.replicas:
            for name, value in counters(one.url).items():
                found[name] = found.get(name, 0.0) + value
        return found


def start_gateway(replicas: Sequence[Place], args: argparse.Namespace) -> Gateway:
    """Our app before these replicas, in as many processes as there are workers."""
    apps, servers = start_apps(args.work, [one.url for one in replicas], args)
    return Gateway(tuple(replicas), tuple(apps), tuple(servers))


def measured(gateway: Gateway, rate: float, setup: Setup, args: argparse.Namespace) -> dict[str, Any]:
    """One rate before one gateway."""
    setup.app_servers = list(gateway.servers)
    job, servers, num_pictures = job_of(Point(size=args.size, kind="loop", rate=rate), setup)
    num_clients = args.clients * len(gateway.replicas)
    was_emptied = all(emptied(one.url, args.api_servers) for one in gateway.replicas)
    before_each = [answered(one) for one in gateway.replicas]
    before: dict[str, float] = {}

    async def run() -> Window:
        async with asyncio.timeout(args.window_s + 180):
            return await closed_loop(
                job,
                servers,
                num_clients=num_clients,
                window_s=args.window_s,
                max_jobs=num_pictures,
                spread_s=args.spread_s,
                kind_of=lambda number: asks(number, rate),
                on_open=lambda: before.update(gateway.counted()),
            )

    window = asyncio.run(run())
    after = gateway.counted()
    setup.num_used += max((one.number for one in window.done), default=0) + num_clients
    gained = {name: after[name] - before[name] for name in after}
    traces = [json.loads(answer)["adaptive"] for one in window.done for answer in one.answers]
    return {
        **window.facts(),
        "asked_rate": round(sum(trace["turns"] > 1 for trace in traces) / len(traces), 4),
        "gateway_cores": round(gained["gateway_s"] / gained["at"], 2),
        "gateway_cpu_s_per_request": round(gained["gateway_s"] / len(window.done), 4),
        "vllm_cores": round(gained["vllm_s"] / gained["at"], 2),
        **hit_ratios(gained),
        "answered_by_replica": [answered(one) - was for one, was in zip(gateway.replicas, before_each, strict=True)],
        "caches_emptied": was_emptied,
    }


def efficiency(raw: dict[str, dict[str, Any]], rates: Sequence[float], num_replicas: int) -> dict[str, float]:
    """By rate, what all replicas give over what one gives so many times."""
    found = {}
    for rate in rates:
        one, every = raw.get(f"1/{rate:g}", {}), raw.get(f"{num_replicas}/{rate:g}", {})
        if one.get("rps") and every.get("rps"):
            found[f"{rate:g}"] = round(every["rps"] / one["rps"] / num_replicas, 4)
    return found


def run(args: argparse.Namespace) -> int:
    """Measure, and write after each point."""
    begin_s = time.monotonic()
    args.work.mkdir(parents=True, exist_ok=True)
    raw: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        own = [] if args.attach else start_all(args, stack)
        replicas = attached(args.attach)[: args.replicas] if args.attach else [place for _, place in own]
        gateways = [start_gateway(replicas[:1], args), start_gateway(replicas, args)]
        for app in (app for one in gateways for app in one.apps):
            stack.callback(app.stop)
        prepare_all(args.work / "pictures", [args.size], args.pictures, 0, args.processes)
        wait_ready(own)
        for gateway in gateways:
            for app, server in zip(gateway.apps, gateway.servers, strict=True):
                app.wait_until(f"http://127.0.0.1:{server.port}/v2/health/ready", 120.0)
        ready_s = round(time.monotonic() - begin_s, 1)
        print(f"ready after {ready_s} s", flush=True)
        setup = Setup(
            args=args,
            home=args.work,
            vllm=replicas[0],
            apps=[],
            app_servers=[],
            crop_servers=[],
        )
        quick = argparse.Namespace(**{**vars(args), "window_s": 1.0, "clients": min(16, args.clients)})
        measured(gateways[-1], 1.0, setup, quick)  # so that no kernel is compiled while the clock runs
        for rate in args.rates:
            for gateway in gateways:
                key = f"{len(gateway.replicas)}/{rate:g}"
                raw[key] = measured(gateway, rate, setup, args)
                print(key, json.dumps(raw[key]), flush=True)
                atomic_write_json(
                    args.out,
                    {
                        "device": device(),
                        "versions": versions(),
                        "cores": os.cpu_count(),
                        "command": shlex.join(["python", *sys.argv]),
                        "settings": {name: str(value) for name, value in vars(args).items()},
                        "seconds_to_ready": ready_s,
                        "efficiency": efficiency(raw, args.rates, args.replicas),
                        "raw": raw,
                    },
                )
    print(json.dumps(efficiency(raw, args.rates, args.replicas)), flush=True)
    return 0


def _size(text: str) -> Size:
    width, height = text.split("x")
    return Size(width=int(width), height=int(height))


def _rates(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split(",")))


def main() -> int:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = os.cpu_count() or 1
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--attach", type=Path, help="file of `replicas.py`, whose vLLMs are taken instead of own ones")
    replica_options(parser)
    parser.add_argument("--size", type=_size, default="1024x768", help="of the pictures")
    parser.add_argument("--rates", type=_rates, default="0.3,0.8", help="shares that ask, in the order of measuring")
    parser.add_argument("--clients", type=int, default=160, help="jobs under way at a time, for each replica")
    parser.add_argument("--window-s", type=float, default=20.0)
    parser.add_argument("--spread-s", type=float, default=2.0, help="over which clients begin, so as not to go in step")
    parser.add_argument("--app-workers", type=int, default=min(16, cores), help="processes of our app")
    parser.add_argument("--answer-tokens", type=int, default=128, help="mean of an answer's")
    parser.add_argument("--call-tokens", type=int, default=64)
    parser.add_argument("--short-tokens", type=int, default=32)
    parser.add_argument("--pictures", type=int, default=4000, help="none is shown twice in a point")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--processes", type=int, default=max(1, cores - 8), help="that make pictures")
    end_on_sigterm()
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
