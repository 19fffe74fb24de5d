"""How long does a step take at a large shape, what of it, and how much memory? Random weights, forced decisions.

A Qwen2.5-VL shape with random weights is trained by veRL for some steps on pictures of camera size, with the settings
of a preset; four in ten first turns call (`forced_loop`). Its judge is a language model that answers at once in odd
steps and takes 300 ms for each verdict in even ones, so that one training tells what a slow judge adds (`--judges
alternating`; `rule` and `slow` each have a training of their own). Peaks of GPU and host memory stand beside the
estimate that a training is admitted by. On several nodes it is started by nodes.sh.

    python benchmarks/verl/large.py --out benchmarks/results/verl/large.json
    python benchmarks/verl/large.py --out /tmp/tiny.json --shape tiny --size 128x96 --prompts 2 --group 2 --device cpu
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

import scene
from gpu import _stack
from shape import write_model

from visionthink.config import RunConfig, load_config
from visionthink.core.geometry import Size
from visionthink.core.sample import Sample
from visionthink.storage import atomic_write_json, open_store
from visionthink.training.verl.memory import estimate_memory, shape_of
from visionthink.training.verl.overrides import overrides
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.rows import store_pictures, training_order, write_rows
from visionthink.training.verl.run import train

JUDGE_S: Final = 0.3


class _EnoughSeen(Exception):  # noqa: N818 - no error
    """So many steps were taken as were asked for."""


_GIB: Final = 1024**3
_GPUS: Final = os.environ.get("MEMORY_GPUS", os.environ.get("CUDA_VISIBLE_DEVICES", ""))
"""The GPUs to look at; empty for all."""


class _Verdict(BaseHTTPRequestHandler):
    """A judge that thinks for a while and finds everything right."""

    protocol_version = "HTTP/1.1"
    delay_s = 0.0

    def do_POST(self) -> None:
        """Answer a chat completion."""
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(type(self).delay_s)
        message = {"role": "assistant", "content": "Score: 1"}
        body = json.dumps(
            {
                "id": "one",
                "object": "chat.completion",
                "created": 0,
                "model": "judge",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            }
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def delay_of(judge: str, step: int) -> float:
    """Seconds that the judge takes for a verdict in this step, the first being 1."""
    return JUDGE_S if judge == "slow" or (judge == "alternating" and step % 2 == 0) else 0.0


@contextmanager
def slow_judge() -> Iterator[str]:
    """The address of such a judge."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Verdict)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"openai:http://127.0.0.1:{server.server_address[1]}/v1?model=judge"
    finally:
        server.shutdown()


class Memory:
    """The peaks of memory while a block runs: of any one GPU, and of the processes below this one, or MEMORY_ROOT."""

    def __init__(self) -> None:
        """Nothing is seen yet."""
        self.gpu_gib = 0.0
        self.host_gib = 0.0
        self._over = threading.Event()
        self._root = psutil.Process(int(os.environ.get("MEMORY_ROOT", os.getpid())))

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            self.host_gib = max(self.host_gib, self._host_gib())
            self.gpu_gib = max(self.gpu_gib, _gpu_gib())

    def _host_gib(self) -> float:
        """What each page counts for is split among those that share it."""
        total = 0
        for process in (self._root, *self._root.children(recursive=True)):
            with suppress(psutil.Error, OSError):
                total += process.memory_full_info().pss
        return total / _GIB

    def __enter__(self) -> "Memory":
        """Begin to look."""
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no longer."""
        self._over.set()


def _gpu_gib() -> float:
    try:
        asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        asked += [f"--id={_GPUS}"] if _GPUS else []
        told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout
        return max(float(line) for line in told.split()) / 1024
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0.0


def write_weights(folder: Path, shape: str, device: str) -> None:
    """The shape's folder, with weights that were never trained."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    write_model(folder, shape)  # type: ignore[arg-type]
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    try:
        with torch.device(device):
            model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    finally:
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)


def profiled(args: argparse.Namespace) -> tuple[str, ...]:
    """VeRL's own settings that have the second update of one step written down by torch, on each rank."""
    if args.profile is None:
        return ()
    actor = "actor_rollout_ref.actor.profiler"
    return (
        "global_profiler.tool=torch",
        f"global_profiler.steps=[{args.profile}]",
        f"global_profiler.save_path={args.work.resolve() / 'profile'}",
        f"{actor}.enable=true",
        f"{actor}.all_ranks=true",
        f'{actor}.tool_config.torch.contents=["cuda"]',
        f"{actor}.tool_config.torch.schedule.skip_first=1",
        f"{actor}.tool_config.torch.schedule.active=1",
        "actor_rollout_ref.rollout.profiler.enable=false",
    )


def config_of(args: argparse.Namespace, judge: str) -> RunConfig:
    """The preset's settings, with the batch and the steps of the benchmark."""
    num_gpus, preset = args.nodes * args.gpus_per_node, load_config(None, preset=args.preset)
    settings: dict[str, object] = {
        "verl.num_nodes": args.nodes,
        "verl.gpus_per_node": args.gpus_per_node,
        "verl.num_agent_workers": 8 * num_gpus,
        "train.num_steps": args.steps,
        "train.num_prompts": args.prompts * num_gpus,
        "train.group_size": args.group,
        "train.checkpoint_every": args.steps,
        "verl.mini_batch_prompts": max(1, args.prompts // 2) * num_gpus,
        "train.micro_batch_size": args.micro_batch,
        "verl.tensor_parallel": 1,
        "verl.shard_size": args.shard_size,
        "verl.settings": (*preset.verl.settings, *args.verl_set, *profiled(args)),
        "verl.gpu_memory_gib": args.gpu_memory_gib,
        "judge.uri": judge,
        "judge.max_connections": 256,
    }
    if args.device == "cpu":
        settings |= {"verl.lora_rank": 0, "view.min_pixels": 56 * 56}
    return load_config(None, settings, preset=args.preset)


def samples_of(size: Size, number: int) -> list[Sample]:
    """Questions about pictures that weigh what photographs weigh; half of them need the full view, says their label."""
    return [
        Sample(
            id=f"picture-{index}",
            question="What is written on the third sign from the left, and in which colour is it painted?",
            answer="42",
            family="sign",
            needs_high_res=index % 2 == 0,
            source="benchmark",
            picture=scene.jpeg(scene.picture(size, index)),
        )
        for index in range(number)
    ]


def measured(
    args: argparse.Namespace,
    model: Path,
    samples: list[Sample],
    name: str,
    judge: str,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """One training, with its times and peaks, which are told to `keep` after each step and at the end."""
    config, work = config_of(args, judge), args.work / name
    work.mkdir(parents=True, exist_ok=True)
    rows = work / "rows.parquet"
    places = store_pictures(samples, open_store(str(args.work / "pictures")))
    write_rows(rows, training_order(samples, config.train, seed=config.seed), places)
    changes = config.verl.overrides()
    if args.device == "cpu":  # what was asked for by name; all else is as a GPU wants it
        asked = {text.partition("=")[0] for text in (*args.verl_set, *profiled(args))}
        changes = {name: value for name, value in changes.items() if name in asked or name.endswith("fsdp_size")}
    plan = VerlPlan(
        train_rows=rows,
        base_model=model,
        output=work,
        run_id=f"large-{name}",
        device=args.device,
        num_nodes=args.nodes,
        gpus_per_node=args.gpus_per_node,
        num_checkpoints=1,
        overrides={
            **changes,
            "actor_rollout_ref.rollout.agent.agent_loop_config_path": str(
                Path(__file__).with_name("forced_loop.yaml").resolve()
            ),
        },
    )
    overrides(config, plan)
    start_s = time.monotonic()
    _Verdict.delay_s = delay_of(name, 1)

    with Memory() as memory:

        def found(error: str | None) -> dict[str, Any]:
            return {
                "seconds": round(time.monotonic() - start_s, 1),
                "error": error,
                **_figures(name, work / "steps-0.jsonl", args.profile),
                "memory": {"gpu_gib": round(memory.gpu_gib, 2), "host_gib": round(memory.host_gib, 2)},
            }

        def on_step(step: int, told: Any) -> None:
            _Verdict.delay_s = delay_of(name, step + 1)
            print(f"{time.monotonic() - start_s:.0f} s", name, step, told, flush=True)
            keep(found("not yet at its end"))
            if step == args.stop_after:
                raise _EnoughSeen

        try:
            train(plan, config, python=args.python, on_step=on_step)
            error = None
        except _EnoughSeen:
            error = None
        except Exception as failure:  # the steps that were taken are told all the same
            error = f"{type(failure).__name__}: {failure}"[-2000:]
        keep(found(error))


def _figures(name: str, lines: Path, profile: int | None) -> dict[str, Any]:
    """What the steps have come to by now."""
    steps = [json.loads(line)["data"] for line in lines.read_text().splitlines()] if lines.exists() else []
    counted = {number: step for number, step in enumerate(steps, 1) if number not in (1, profile)}
    return {
        "num_steps": len(steps),
        "step_s": _medians([*counted.values()], "timing_s/"),
        "step_s_first": _medians(steps[:1], "timing_s/"),
        "step_s_by_judge_ms": _by_judge(name, counted),
        "figures": _medians([*counted.values()], ("policy/", "resize/", "reward/", "perf/")),
    }


def _by_judge(name: str, steps: dict[int, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By the milliseconds that the judge took; the first step, in which kernels are compiled, is not among them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for number, step in steps.items():
        working_s = step["timing_s/step"] - step.get("timing_s/save_checkpoint", 0.0)
        found.setdefault(f"{1000 * delay_of(name, number):g}", []).append(
            {**step, "timing_s/without_saving": working_s}
        )
    return {delay: {"steps": len(those), **_medians(those, "timing_s/")} for delay, those in found.items()}


def _medians(steps: list[dict[str, Any]], prefix: str | tuple[str, ...]) -> dict[str, float]:
    names = sorted({name for step in steps for name in step if name.startswith(prefix)})
    found = {name: [step[name] for step in steps if isinstance(step.get(name), int | float)] for name in names}
    return {name: round(median(values), 3) for name, values in found.items() if values}


def main() -> int:
    """Measure with each judge; write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("/tmp/verl-large"))
    parser.add_argument("--shape", choices=("3b", "7b", "tiny"), default="3b")
    parser.add_argument("--size", default="1024x768")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--stop-after", type=int, help="steps; those behind it, saving and merging are left out")
    parser.add_argument("--profile", type=int, help="a step that torch's profiler looks at; it counts for nothing else")
    parser.add_argument("--preset", default="3b-lora-1x1", help="whose settings are taken")
    parser.add_argument("--prompts", type=int, default=16, help="of a step, for each GPU")
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--micro-batch", type=int, default=1, help="rollouts that are differentiated at a time")
    parser.add_argument("--shard-size", type=int, help="GPUs that a copy of the trained model is spread over")
    parser.add_argument("--gpu-memory-gib", type=float, default=80.0, help="of one GPU, for the estimate")
    parser.add_argument("--verl-set", action="append", default=[], help="veRL's own NAME=VALUE; may be repeated")
    parser.add_argument("--judges", default="alternating", help="of: alternating, rule, slow; separated by commas")
    parser.add_argument("--nodes", type=int, default=1, help="more than one with nodes.sh")
    parser.add_argument("--gpus-per-node", type=int, default=1)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has veRL")
    args = parser.parse_args()
    args.work = args.work.resolve()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    model = args.work / f"model-{args.shape}"
    if not list(model.glob("*.safetensors")):
        # In a process of its own, whose hold on the GPU ends with it.
        made = multiprocessing.get_context("spawn").Process(target=write_weights, args=(model, args.shape, args.device))
        made.start()
        made.join()
        if made.exitcode:
            sys.exit(f"no weights could be written to {model}")
    width, height = (int(side) for side in args.size.split("x"))
    samples = samples_of(Size(width=width, height=height), args.steps * config_of(args, "rule").train.num_prompts)
    estimate = estimate_memory(config_of(args, "rule"), shape_of(json.loads((model / "config.json").read_text())))
    found: dict[str, Any] = {
        **_stack(),
        "command": ["python", *sys.argv],
        "settings": {name: str(value) for name, value in vars(args).items()},
        "estimate": {"gpu_gib": estimate.gpu_gib, "host_gib": estimate.host_gib, "parts": asdict(estimate)},
    }
    judges = args.judges.split(",")
    with slow_judge() as uri:
        for name in judges:

            def keep(told: dict[str, Any], name: str = name) -> None:
                found[name] = told
                atomic_write_json(args.out, found)

            measured(args, model, samples, name, name if name == "rule" else uri, keep)
            print(json.dumps(found[name], indent=1), flush=True)
    return int(any(found[name]["error"] for name in judges))


if __name__ == "__main__":
    sys.exit(main())
