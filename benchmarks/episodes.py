"""Does the middle of the house keep an engine busy, in little memory, on a busy machine? Three measurements.

endpoint: episodes of two turns over a simulated server (slots, log-normal reply times) through the evaluation's own
    code, against a plain load generator that waits for the same replies and does nothing else. 1.00 is perfect.
samples: 10,000 and 100,000 samples with a scripted engine: seconds, peak memory, and a try with nothing left to do.
busy: answers a second of an evaluation with the bundled model, quiet, and beside a process that keeps every core busy.

    python benchmarks/episodes.py --out benchmarks/results/episodes.json
"""

import argparse
import asyncio
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from machine import processor
from visionthink.config import RunConfig, override_config
from visionthink.core.episode import Event, FinishReason, ModelReply
from visionthink.core.sample import Sample
from visionthink.datasets.world import TRAINED_FAMILIES, generate
from visionthink.engines import Engine, Request, Sampling, ScriptedEngine
from visionthink.episodes.asking import Series, ask_open
from visionthink.episodes.driver import derived_seed
from visionthink.episodes.opening import open_runner
from visionthink.episodes.runner import Ask, End
from visionthink.episodes.shard import ShardBook
from visionthink.evaluation.answer import Answer, to_answer
from visionthink.judges import RuleJudge
from visionthink.model.bundled import base_folder
from visionthink.storage import atomic_write_json

NUM_SLOTS: Final = 128
NUM_EPISODES: Final = 4096
MEDIAN_S: Final = 0.15
SIGMA: Final = 0.6
CALL: Final = '<think>small</think><tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'
ANSWER: Final = "<think>clear</think><answer>red</answer>"
CONFIG: Final = RunConfig()


def seconds_of(seed: int) -> float:
    """How long the reply with this seed takes: log-normal, a few take ten times as long as most."""
    return random.Random(seed).lognormvariate(math.log(MEDIAN_S), SIGMA)


class SimulatedServer:
    """So many replies at a time, each after its time; every episode asks for the full view first."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(NUM_SLOTS)

    @property
    def model(self) -> str:
        return "simulated"

    async def reply(self, request: Request) -> Event:
        await self.wait(request.sampling.seed or 0)
        text = CALL if len(request.messages) == 1 else ANSWER
        return ModelReply(text=text, finish_reason=FinishReason.STOP, num_prompt_tokens=30, num_reply_tokens=20)

    async def wait(self, seed: int) -> None:
        """Take a slot for the time of one reply."""
        async with self._slots:
            await asyncio.sleep(seconds_of(seed))

    async def aclose(self) -> None:
        pass


def world(count: int) -> list[Sample]:
    return list(generate("test", count, seed=0, families=TRAINED_FAMILIES))


def series(samples: Sequence[Sample] | Iterator[Sample], folder: Path, *, shard_size: int) -> Series[Answer]:
    """Every sample asked once, each with a seed of its own."""

    def asks(sample: Sample) -> tuple[Ask, ...]:
        number = int(sample.id.rsplit("-", 1)[-1])
        return (Ask(policy="auto", sampling=Sampling(seed=number, max_tokens=40)),)

    book = ShardBook(folder, size=shard_size, read=Answer.from_dict, what="answers")
    return Series(samples=samples, asks=asks, record=record, book=book)


def record(sample: Sample, end: End) -> Answer:
    return to_answer(sample, end, lambda trace: trace.visual_tokens)


async def asked(engine: Engine, one: Series[Answer], total: int, config: RunConfig = CONFIG) -> None:
    async with open_runner(engine, RuleJudge(), config) as runner:
        await ask_open(runner, [one], total=total, max_lost_ratio=0.0, on_record=lambda: None)


async def plain_load() -> float:
    """The same replies without anything around them."""
    server = SimulatedServer()

    async def episode(number: int) -> None:
        for turn in (1, 2):
            await server.wait(derived_seed(number, turn))

    start_s = time.perf_counter()
    await asyncio.gather(*map(episode, range(NUM_EPISODES)))
    return time.perf_counter() - start_s


def endpoint() -> dict[str, Any]:
    """Wall times through the evaluation's code, by shard size, over that of the plain generator."""
    samples = [replace(sample, id=f"s-{number}") for number, sample in enumerate(world(256) * (NUM_EPISODES // 256))]
    found: dict[str, Any] = {"slots": NUM_SLOTS, "episodes": NUM_EPISODES, "median_reply_s": MEDIAN_S, "sigma": SIGMA}
    found["plain_s"] = asyncio.run(plain_load())
    for size in (8, 512):
        with tempfile.TemporaryDirectory() as folder:
            start_s = time.perf_counter()
            one = series(samples, Path(folder), shard_size=size)
            asyncio.run(asked(SimulatedServer(), one, len(samples)))
            seconds = time.perf_counter() - start_s
            assert all(answer.num_turns == 2 for answer in one.book.finished())
        found[f"shards_of_{size}_s"] = seconds
        found[f"shards_of_{size}_ratio"] = seconds / found["plain_s"]
    return found


def many(count: int, folder: Path) -> dict[str, float]:
    """Seconds and peak memory of `count` samples with a scripted engine, in this process."""
    pictures = world(64)
    decoded = 0

    def lazily() -> Iterator[Sample]:
        return (replace(pictures[number % 64], id=f"s-{number}") for number in range(count))

    def reply(request: Request) -> str:
        nonlocal decoded
        decoded += 1
        return ANSWER

    start_s = time.perf_counter()
    asyncio.run(asked(ScriptedEngine(reply, keeps_requests=False), series(lazily(), folder, shard_size=120), count))
    seconds = time.perf_counter() - start_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    num_asked, start_s = decoded, time.perf_counter()
    asyncio.run(asked(ScriptedEngine(reply, keeps_requests=False), series(lazily(), folder, shard_size=120), count))
    assert decoded == num_asked == count, "a try with nothing left asked again"
    return {"seconds": seconds, "peak_mib": peak, "again_s": time.perf_counter() - start_s}


def samples() -> dict[str, Any]:
    """`many` in processes of their own, so that each has a peak of its own."""
    found = {}
    for count in (10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--many", str(count), "--folder", folder]
            done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=True)
        found[str(count)] = json.loads(done.stdout)
    found["seconds_a_sample_ratio"] = found["100000"]["seconds"] / 10 / found["10000"]["seconds"]
    return found


@contextmanager
def busy_cores() -> Iterator[None]:
    """Another process that keeps every core busy while the block runs."""
    code = "import os\nfor _ in range(os.cpu_count() - 1):\n    if not os.fork(): break\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, 9)


def evaluation(threads: int) -> dict[str, float]:
    """Answers a second of the bundled model, free to ask, in a process with `threads` threads."""
    from visionthink.stage import set_up_torch

    set_up_torch(threads)  # before anything loads torch, as a stage does it

    from visionthink.engines.transformers_local import TransformersEngine

    config = override_config(CONFIG, {"model.threads": threads})
    questions = world(256)

    def once(count: int) -> float:
        engine = TransformersEngine.load(base_folder("embedded"), batch_size=config.model.batch_size)
        with tempfile.TemporaryDirectory() as folder:
            start_s = time.perf_counter()
            asyncio.run(asked(engine, series(questions[:count], Path(folder), shard_size=64), count, config))
            return count / (time.perf_counter() - start_s)

    once(64)
    quiet = once(256)
    with busy_cores():
        loaded = once(256)
    return {"quiet_per_s": quiet, "busy_per_s": loaded, "ratio": loaded / quiet}


def busy() -> dict[str, Any]:
    """`evaluation` with one thread and with two, in processes of their own: threads are set once a process."""
    found: dict[str, Any] = {}
    for threads in (1, 2):
        command = [sys.executable, __file__, "--evaluation", str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=True)
        found[f"threads_{threads}"] = json.loads(done.stdout)
    return found


PARTS: Final[dict[str, Callable[[], dict[str, Any]]]] = {"endpoint": endpoint, "samples": samples, "busy": busy}


def main() -> int:
    """Measure, print, and write when told where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; all when none is named")
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    parser.add_argument("--many", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--evaluation", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.many:
        print(json.dumps(many(args.many, args.folder)))
        return 0
    if args.evaluation:
        print(json.dumps(evaluation(args.evaluation)))
        return 0
    found: dict[str, Any] = {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
    }
    print(found["machine"], flush=True)
    for part in args.parts or PARTS:
        found[part] = PARTS[part]()
        print(part, json.dumps(found[part], indent=2), flush=True)
    if args.out:
        atomic_write_json(args.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
