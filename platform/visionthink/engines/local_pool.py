"""The engine that runs copies of a model in processes of this machine, each on a thread of its own.

Rule: a model of a few million weights answers no faster on two threads than on one, and Python lets one thread at a
time speak; so what is quick on several processors is several processes. Replies depend on requests and seeds alone,
whoever makes them, so how many there are changes nothing but the time.
"""

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

from visionthink.core.episode import Event
from visionthink.core.pruning import Pruning
from visionthink.engines.collector import Collector, Job
from visionthink.engines.engine import Request, SamplingField
from visionthink.errors import ConfigError, EngineError, UserError

_START_S: Final = 300.0
"""Until a process has imported torch and loaded the model, on a machine that is busy."""
_LOOK_EVERY_S: Final = 1.0
_END_S: Final = 5.0
_MODULE: Final = "visionthink.engines.transformers_local"

_Job = Job[Request, Event]


class _Weights(NamedTuple):
    """What a process is to answer with from now on."""

    content: bytes


def begin_to_import() -> None:
    """Have what takes seconds be imported once for all processes, while this one goes on."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([_MODULE])
    forkserver.ensure_running()


class _Worker:
    """One process, and the thread of this one that waits for it."""

    def __init__(self, folder: Path, batch_size: int, pruning: Pruning | None) -> None:
        begin_to_import()
        context = multiprocessing.get_context("forkserver")
        self._batch_size = batch_size
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(theirs, folder, batch_size, pruning), daemon=True)
        self._process.start()
        theirs.close()
        self._begin_s = time.monotonic()
        self._known: str | Exception | None = None
        self._lock = Lock()
        self.weights: _Weights | None = None
        """That the process does not have yet."""
        self.num_open = 0
        self.collector: Collector[Request, Event] = Collector(self._work, name="engine")

    def model(self) -> str:
        """The model's name, once the process is there.

        Raises:
            UserError: the model cannot be loaded, or cannot drop tokens so.
            EngineError: the process ended, or took too long.
        """
        with self._lock:
            if self._known is None:
                self._known = self._started()
            if isinstance(self._known, Exception):
                raise self._known
            return self._known

    async def reply(self, request: Request) -> Event:
        """The process's reply."""
        self.num_open += 1
        try:
            return await self.collector.submit(request)
        finally:
            self.num_open -= 1

    def close(self) -> None:
        """End the process; it gives up what it is at."""
        self.collector.close()
        self._process.terminate()
        self.collector.join()
        self._pipe.close()
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()

    def _started(self) -> str | Exception:
        try:
            found = self._received(self._begin_s + _START_S)
        except EngineError as error:
            return error
        assert isinstance(found, str | UserError)
        return found

    def _work(self, jobs: list[_Job]) -> None:
        self.model()
        for start in range(0, len(jobs), self._batch_size):
            some = [job for job in jobs[start : start + self._batch_size] if not job.is_cancelled]
            if self.weights is not None:
                self._pipe.send(self.weights)
                self.weights = None
            self._pipe.send([job.item for job in some])
            events = self._received()
            if isinstance(events, BaseException):
                raise events
            assert isinstance(events, list)
            self.collector.finish(zip(some, events, strict=True))

    def _received(self, until_s: float = float("inf")) -> object:
        """What the process says next; a batch may take as long as it takes, as in this process."""
        try:
            while not self._pipe.poll(_LOOK_EVERY_S):
                if time.monotonic() > until_s:
                    raise EngineError(f"a process with the model did not start within {_START_S:g} s", retryable=False)
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(_END_S)
            raise EngineError(
                f"a process with the model ended with {self._process.exitcode}; where memory is short, lower "
                "model.processes",
                retryable=False,
            ) from error


class LocalPool:
    """Replies from a saved Qwen2.5-VL model in `num_processes` processes."""

    def __init__(
        self, folder: Path, *, num_processes: int, batch_size: int = 32, pruning: Pruning | None = None
    ) -> None:
        """Start them; the model is loaded while this one goes on.

        Raises:
            ConfigError: there is no such number.
        """
        if num_processes < 1:
            raise ConfigError(f"num_processes is {num_processes}; a model needs at least 1 process to run in")
        self._again = partial(LocalPool, folder, num_processes=num_processes, batch_size=batch_size)
        self._workers = tuple(_Worker(folder, batch_size, pruning) for _ in range(num_processes))

    @property
    def model(self) -> str:
        """Name of the model.

        Raises:
            UserError: it cannot be loaded.
            EngineError: no process came up.
        """
        return self._workers[0].model()

    @property
    def sampling_fields(self) -> frozenset[SamplingField]:
        """What the sampler knows."""
        return frozenset({"top_k", "min_p"})

    def pruned(self, pruning: Pruning) -> "LocalPool":
        """The same model, with visual tokens dropped; it takes this engine's place, which is closed.

        Raises:
            UserError: the model cannot be loaded, or cannot drop tokens so.
        """
        self.close()
        pool = self._again(pruning=pruning)
        try:
            _ = pool.model
        except BaseException:
            pool.close()
            raise
        return pool

    def take_weights(self, content: bytes) -> None:
        """Answer with other weights of the same model from the next request on: safetensors, by parameter.

        Nothing may be asked for meanwhile.
        """
        for worker in self._workers:
            worker.weights = _Weights(content)

    async def reply(self, request: Request) -> Event:
        """The reply, made in a batch with what else is asked of the same process: the one with the least to do."""
        return await min(self._workers, key=lambda one: one.num_open).reply(request)

    async def aclose(self) -> None:
        """End the processes."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """The same, and wait for it."""
        for worker in self._workers:
            worker.close()


def _answer(pipe: Connection, folder: Path, batch_size: int, pruning: Pruning | None) -> None:
    """A process's life: the model's name or why there is none; then replies to lists of requests, and new weights."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt ends the parent, and the parent this
    try:
        import torch
        from transformers.utils import logging

        from visionthink.engines.transformers_local import TransformersEngine

        torch.set_num_threads(1)
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        engine = TransformersEngine.load(folder, batch_size=batch_size)
        if pruning is not None:
            engine = engine.pruned(pruning)
    except UserError as error:
        pipe.send(error)
        return
    pipe.send(engine.model)
    with asyncio.Runner() as runner:
        while True:
            try:
                told: _Weights | Sequence[Request] = pipe.recv()
            except EOFError:  # the parent is gone
                return
            if isinstance(told, _Weights):
                engine.take_weights(told.content)
            else:
                pipe.send(runner.run(_replies(engine.reply, told)))


async def _replies(
    reply: Callable[[Request], Awaitable[Event]], requests: Sequence[Request]
) -> list[Event] | Exception:
    try:
        return list(await asyncio.gather(*map(reply, requests)))
    except Exception as error:
        return error
