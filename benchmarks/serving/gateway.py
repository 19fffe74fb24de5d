"""What does our app add to a request, and what do the proxies add that users would pick instead?

Rule: everything is measured side by side in one run: the same requests, the same stub engine, the same load generator,
each contender a process of one worker, rounds in turns, so that whatever else the machine does meets all alike. Two
figures are told apart: what a request costs the contender in time of a core, read from the system, and what it adds to
the latency of direct access. The generator is measured against the stub alone, to show that it is not what is measured.

    python benchmarks/serving/gateway.py --out benchmarks/results/serving/gateway.json
"""

import argparse
import asyncio
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import scene
from load import Connection, Server, Window, closed_loop
from stub import MODEL
from vllm_server import Process, cpu_seconds, end_on_sigterm, free_port

from visionthink.core.geometry import Size
from visionthink.storage import atomic_write_json

HERE: Final = Path(__file__).parent
READY_S: Final = 180.0
PHOTO: Final = Size(width=2048, height=1024)
SMALL: Final = Size(width=112, height=112)
QUESTION: Final = "What is written on the third sign from the left, and in which colour is it painted?"


@dataclass(slots=True, kw_only=True)
class Contender:
    """One thing that stands in front of the stub, or the stub itself."""

    name: str
    server: Server
    process: Process
    model: str
    adaptive: dict[str, Any] = field(default_factory=dict)


def bodies(contender: Contender) -> dict[str, bytes]:
    """The requests, by what they hold."""
    text = {"model": contender.model, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
    own = {"adaptive": contender.adaptive} if contender.adaptive else {}
    found = {"text": json.dumps(text).encode()}
    for name, size in (("small picture", SMALL), ("photo 2048x1024", PHOTO)):
        url = scene.data_url(scene.jpeg(scene.picture(size, 1)))
        found[name] = scene.asked(url, QUESTION, contender.model, temperature=0, **own)
    return found


def started(args: argparse.Namespace, home: Path, stack: ExitStack) -> list[Contender]:
    """Every contender that is installed, ready."""
    stub_port = free_port()
    stub_url = f"http://127.0.0.1:{stub_port}"
    stub_command = [sys.executable, str(HERE / "stub.py"), f"--port={stub_port}", f"--latency-ms={args.latency_ms}"]
    commands = {"direct": (stub_port, stub_command, "/v1/models")}
    port = free_port()
    ours = [sys.executable, str(HERE / "forced.py"), f"--port={port}", f"--engine=openai:{stub_url}/v1?model={MODEL}"]
    ours.append("--as-said")
    commands["visionthink"] = (port, ours, "/v2/health/live")
    if args.litellm:
        port, config = free_port(), home / "litellm.yaml"
        place = {"model": f"hosted_vllm/{MODEL}", "api_base": f"{stub_url}/v1", "api_key": "none"}
        config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": place}]}))
        told = [args.litellm, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        commands["LiteLLM proxy"] = (port, told, "/health/liveliness")
    if args.stack_router:
        port = free_port()
        options = f"--host 127.0.0.1 --port {port} --service-discovery static --static-backends {stub_url}"
        options += f" --static-models {MODEL} --routing-logic roundrobin --log-level warning"
        commands["vLLM production-stack router"] = (port, [args.stack_router, *shlex.split(options)], "/health")
    if args.rust_router:
        port = free_port()
        options = f"--host 127.0.0.1 --port {port} --worker-urls {stub_url} --policy round_robin"
        options += f" --prometheus-port {free_port()} --log-level warning"
        commands["vllm-router (Rust)"] = (port, [args.rust_router, *shlex.split(options)], "/health")
    env = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "PYTHONWARNINGS": "ignore",
    }
    found = []
    for name, (port, command, path) in commands.items():
        process = Process(command, home / f"{name.replace(' ', '-')}.log", env)
        stack.callback(process.stop)
        try:
            process.wait_until(f"http://127.0.0.1:{port}{path}", READY_S)
        except RuntimeError as error:
            print(f"{name} is left out: {str(error)[-600:]}", flush=True)
            continue
        is_ours = name == "visionthink"
        found.append(
            Contender(
                name=name,
                server=Server("127.0.0.1", port),
                process=process,
                model="visionthink" if is_ours else MODEL,
                adaptive={"policy": "always_low"} if is_ours else {},
            )
        )
        print(f"{name} is ready", flush=True)
    return found


def once(contender: Contender, body: bytes, *, num_clients: int, window_s: float) -> tuple[Window, float]:
    """A round, and the seconds of a core that the contender spent on a request."""
    spent: list[float] = []

    async def ask(connection: Connection, number: int) -> tuple[bytes, ...]:
        await connection.post(body)
        return ()

    async def run() -> Window:
        return await closed_loop(
            ask,
            [contender.server],
            num_clients=num_clients,
            window_s=window_s,
            on_open=lambda: spent.append(cpu_seconds(contender.process.session)),
        )

    window = asyncio.run(run())
    # What was begun before the window opened and ends in it is balanced by what is begun in it and never ends.
    spent.append(cpu_seconds(contender.process.session))
    return window, (spent[1] - spent[0]) / max(1, len(window.done))


def compared(
    contenders: Sequence[Contender], args: argparse.Namespace, on_lines: Callable[[dict[str, Any]], None]
) -> None:
    """All kinds of requests at all numbers of clients; `on_lines` is told of what is there after each."""
    found: dict[str, Any] = {}
    asked = {contender.name: bodies(contender) for contender in contenders}
    for kind in args.kinds.split(","):
        for num_clients in map(int, args.clients.split(",")):
            rounds: dict[str, list[tuple[Window, float]]] = {contender.name: [] for contender in contenders}
            for _ in range(args.rounds):
                for contender in contenders:
                    body = asked[contender.name][kind]
                    rounds[contender.name].append(
                        once(contender, body, num_clients=num_clients, window_s=args.window_s)
                    )
            found[f"{kind}, {num_clients} clients"] = lines = figures(rounds)
            for name, line in lines.items():
                print(f"{kind:16} {num_clients:3} {name:30} {json.dumps(line)}", flush=True)
            on_lines(found)


def figures(rounds: dict[str, list[tuple[Window, float]]]) -> dict[str, Any]:
    """Medians over the rounds; what is added is taken from the direct access of the same round."""
    direct = [window for window, _ in rounds["direct"]]
    found = {}
    for name, every in rounds.items():
        windows = [window for window, _ in every]
        cpu_s = statistics.median(spent for _, spent in every)

        def added_ms(share: float, windows: list[Window] = windows) -> float:
            pairs = zip(windows, direct, strict=True)
            return 1000 * statistics.median(own.latency_s(share) - base.latency_s(share) for own, base in pairs)

        found[name] = {
            "rps": round(statistics.median(window.rate for window in windows), 1),
            "rps_per_core": round(1 / cpu_s, 1) if cpu_s else None,
            "cpu_ms": round(1000 * cpu_s, 3),
            "p50_ms": round(1000 * statistics.median(window.latency_s(0.5) for window in windows), 2),
            "p99_ms": round(1000 * statistics.median(window.latency_s(0.99) for window in windows), 2),
            "added_p50_ms": round(added_ms(0.5), 2),
            "added_p99_ms": round(added_ms(0.99), 2),
        }
    return found


def main() -> int:
    """Measure, print, and write when told where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    parser.add_argument("--litellm", help="program of LiteLLM's proxy; left out where none is named")
    parser.add_argument("--stack-router", help="program of the vLLM production stack's router")
    parser.add_argument("--rust-router", help="program of PyPI's vllm-router")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="of the stub engine")
    parser.add_argument("--clients", default="1,16,64")
    parser.add_argument("--kinds", default="text,small picture,photo 2048x1024")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=2.0)
    args = parser.parse_args()
    end_on_sigterm()
    begin_s = time.monotonic()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = started(args, home, stack)
        head = {
            "machine": {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)},
            "settings": {name: str(value) for name, value in vars(args).items()},
        }

        def write(lines: dict[str, Any]) -> None:
            if args.out:
                atomic_write_json(args.out, {**head, "figures": lines})

        compared(contenders, args, write)
    print(f"measured in {time.monotonic() - begin_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
