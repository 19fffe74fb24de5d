"""How much of a real server's speed does a stage get? Evaluation over a server against a plain load generator.

A first pass asks the questions through a recorder, which keeps every request. Then, in turn and several times: the same
evaluation straight to the server, and the kept requests sent by bare aiohttp (what `vllm bench serve` asks with) over
as many connections, the second turn of a question after its first. Both count requests a second at the server; 1.00
means that nothing is lost between.

    python -m vllm.entrypoints.openai.api_server --model MODEL_FOLDER --served-model-name trained ... &
    python benchmarks/endpoint.py --url http://127.0.0.1:8000/v1 --model trained --out endpoint.json
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

from machine import processor
from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.datasets.world import TRAINED_FAMILIES, generate
from visionthink.engines import Sampling
from visionthink.engines.chat_client import ChatClient
from visionthink.engines.openai_chat import OpenAIChatEngine
from visionthink.episodes.asking import Series, ask_open
from visionthink.episodes.opening import open_runner
from visionthink.episodes.runner import Ask, End
from visionthink.episodes.shard import ShardBook
from visionthink.evaluation.answer import Answer, to_answer
from visionthink.judges import RuleJudge
from visionthink.storage import atomic_write_json

PATH: Final = "/chat/completions"
TIMEOUT_S: Final = 120.0


class Recorder:
    """A server that passes every chat request on and keeps its body, by the question that it belongs to."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        self.bodies: dict[str, list[bytes]] = {}
        self.app = FastAPI()
        self.app.add_api_route(PATH, self._passed, methods=["POST"], response_model=None)

    async def _passed(self, request: Request) -> Response:
        body = await request.body()
        question = json.dumps(json.loads(body)["messages"][0])
        self.bodies.setdefault(question, []).append(body)
        headers = {"content-type": "application/json"}
        reply = await self._client.post(self._url + PATH, content=body, headers=headers)
        return Response(reply.content, status_code=reply.status_code, media_type="application/json")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The address while the block runs."""
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(self.app, log_level="warning"))
            task = asyncio.create_task(server.serve(sockets=[one]))
            try:
                yield f"http://127.0.0.1:{one.getsockname()[1]}"
            finally:
                server.should_exit = True
                await task
                await self._client.aclose()


async def evaluated(url: str, model: str, samples: list[Sample], connections: int) -> tuple[float, int]:
    """Seconds and turns of an evaluation, greedy."""
    ask = Ask(policy="auto", sampling=Sampling(temperature=0.0, max_tokens=40))

    def record(sample: Sample, end: End) -> Answer:
        return to_answer(sample, end, lambda trace: trace.visual_tokens)

    with tempfile.TemporaryDirectory() as folder:
        book = ShardBook(Path(folder), size=64, read=Answer.from_dict, what="answers")
        series = Series(samples=samples, asks=lambda sample: (ask,), record=record, book=book)
        client = ChatClient(url, model=model, max_connections=connections, timeout_s=TIMEOUT_S)
        start_s = time.perf_counter()
        async with open_runner(OpenAIChatEngine(client), RuleJudge(), RunConfig()) as runner:
            await ask_open(runner, [series], total=len(samples), max_lost_ratio=0.0, on_record=lambda: None)
        seconds = time.perf_counter() - start_s
        answers = book.finished()
    assert not any(answer.failed for answer in answers), "some questions were not answered"
    return seconds, sum(answer.num_turns for answer in answers)


async def plain(url: str, questions: list[list[bytes]], connections: int) -> float:
    """Seconds that the kept requests take by themselves."""
    slots = asyncio.Semaphore(connections)
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as client:

        async def question(bodies: list[bytes]) -> None:
            for body in bodies:
                async with (
                    slots,
                    client.post(url + PATH, data=body, headers={"content-type": "application/json"}) as reply,
                ):
                    reply.raise_for_status()
                    await reply.read()

        start_s = time.perf_counter()
        await asyncio.gather(*map(question, questions))
        return time.perf_counter() - start_s


async def measured(url: str, model: str, num_samples: int, connections: int, rounds: int) -> dict[str, Any]:
    samples = list(generate("test", num_samples, seed=0, families=TRAINED_FAMILIES))
    recorder = Recorder(url)
    async with recorder.serving() as address:
        await evaluated(address, model, samples, connections)
    questions = list(recorder.bodies.values())
    num_kept = sum(map(len, questions))
    stage_rates, plain_rates = [], []
    for number in range(rounds):
        seconds, num_turns = await evaluated(url, model, samples, connections)
        stage_rates.append(num_turns / seconds)
        plain_rates.append(num_kept / await plain(url, questions, connections))
        print(f"round {number + 1}: stage {stage_rates[-1]:.1f}/s, plain {plain_rates[-1]:.1f}/s", flush=True)
    ratios = [one / other for one, other in zip(stage_rates, plain_rates, strict=True)]
    return {
        "samples": num_samples,
        "requests": num_kept,
        "connections": connections,
        "stage_per_s": stage_rates,
        "plain_per_s": plain_rates,
        "ratio_median": statistics.median(ratios),
    }


def main() -> int:
    """Measure, print, and write when told where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="the server, up to and with /v1")
    parser.add_argument("--model", required=True, help="the name under which it serves the model")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    args = parser.parse_args()
    found: dict[str, Any] = {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
    }
    found |= asyncio.run(measured(args.url, args.model, args.samples, args.connections, args.rounds))
    print(json.dumps(found, indent=2), flush=True)
    if args.out:
        atomic_write_json(args.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
