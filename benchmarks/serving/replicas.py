"""Several vLLMs on one machine, each with a GPU and processors of its own, that stay until they are told to end.

So that one start serves several experiments: `scale.py` and `h100.py` take them over with `--attach FILE`.

    python benchmarks/serving/replicas.py --file /tmp/replicas.json --work /tmp/replicas --replicas 4 --cores-each 12
"""

import argparse
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from profiled import ENV as PROFILE_ENV
from profiled import arguments as profile_arguments
from vllm_server import READY_S, VLLM_ARGS, Place, Process, end_on_sigterm, free_port, pinned, start_vllm

from visionthink.storage import atomic_write_json

TRACES: Final = "traces"


def started(
    model: Path, home: Path, args: argparse.Namespace, *, env: dict[str, str], cores: Iterable[int] = ()
) -> tuple[Process, Place]:
    """A vLLM over `model` as `args` say, not yet ready; its log, its traces and its cache stay in `home`."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    asked = dict(pair.split("=", 1) for pair in args.vllm_env.split())
    own = {"VLLM_CACHE_ROOT": str(home / "cache"), **asked, **env}
    arguments = ['--limit-mm-per-prompt={"image":2,"video":0}', *shlex.split(args.vllm_args)]
    if args.profile:
        arguments += profile_arguments(home / TRACES)
        own |= PROFILE_ENV
    with pinned(cores):
        process = start_vllm(
            model, home, port=port, python=args.vllm_python, num_servers=args.api_servers, arguments=arguments, env=own
        )
    return process, Place(url=f"http://127.0.0.1:{port}", session=process.session, home=str(home))


def _on_its_own(index: int, model: Path, args: argparse.Namespace) -> tuple[Process, Place]:
    """One that sees GPU number `index` alone, on processors that no other has."""
    first = args.first_core + index * args.cores_each
    env = {"CUDA_VISIBLE_DEVICES": str(args.first_gpu + index)} if args.device == "cuda" else {}
    cores = range(first, first + args.cores_each)
    return started(model, args.work / f"replica-{index}", args, env=env, cores=cores)


def options(parser: argparse.ArgumentParser) -> None:
    """What says how they are started."""
    parser.add_argument("--work", type=Path, default=Path("/tmp/visionthink-scale"), help="model, pictures, logs")
    parser.add_argument("--replicas", type=int, default=4, help="one a GPU")
    parser.add_argument("--first-gpu", type=int, default=0)
    parser.add_argument("--cores-each", type=int, default=0, help="of a replica alone; 0: all share all")
    parser.add_argument("--first-core", type=int, default=0)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--shape", choices=("7b", "3b", "tiny"), default="7b")
    parser.add_argument("--api-servers", type=int, default=4, help="of each vLLM: they decode and resize pictures")
    parser.add_argument("--vllm-python", default=sys.executable)
    parser.add_argument("--vllm-args", default=VLLM_ARGS)
    parser.add_argument("--vllm-env", default="VLLM_USE_FLASHINFER_SAMPLER=0", help="NAME=VALUE, separated by blanks")
    parser.add_argument("--profile", action="store_true", help="so that `h100.py --profile` can be asked for")


def start_all(args: argparse.Namespace, stack: ExitStack) -> list[tuple[Process, Place]]:
    """All of them, not yet ready; they end with `stack`."""
    args.work.mkdir(parents=True, exist_ok=True)
    model = args.work / f"model-{args.shape}"
    if not (model / "config.json").exists():
        from shape import write_model  # heavy, and needed in this process alone

        write_model(model, args.shape)
    found = [_on_its_own(index, model, args) for index in range(args.replicas)]
    for process, _ in found:
        stack.callback(process.stop)
    return found


def wait_ready(replicas: Sequence[tuple[Process, Place]]) -> None:
    """Until each of them answers.

    Raises:
        RuntimeError: one ended, or took too long.
    """
    for process, place in replicas:
        process.wait_until(f"{place.url}/health", READY_S)


def main() -> int:
    """Start them, tell where they are, and hold them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, help="written when all are ready")
    options(parser)
    args = parser.parse_args()
    end_on_sigterm()
    begin_s = time.monotonic()
    with ExitStack() as stack:
        replicas = start_all(args, stack)
        wait_ready(replicas)
        atomic_write_json(args.file, [asdict(place) for _, place in replicas])
        print(f"ready after {time.monotonic() - begin_s:.1f} s; process {os.getpid()} holds them", flush=True)
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
