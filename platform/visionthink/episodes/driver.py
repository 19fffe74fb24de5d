"""Drives many episodes over one engine: the one driver that labelling, training, evaluation and serving share.

Rule: it moves values between `core.episode` and an engine and decides nothing. All episodes that wait for a reply are
asked in one call, round after round, so that a batched engine gets whole batches. An episode that fails ends as
`FAILED` with its error; the others go on.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from PIL import Image

from visionthink.core.episode import (
    AskModel,
    BackendFailed,
    EpisodeSpec,
    EpisodeState,
    Event,
    Finish,
    Outcome,
    Trace,
    advance,
    start,
)
from visionthink.engines.engine import Engine, Request, Sampling
from visionthink.errors import BackendError, DataError, EngineError


class _Running(NamedTuple):
    """An episode that waits for a reply."""

    place: int
    state: EpisodeState
    ask: AskModel


async def run_episodes(
    engine: Engine,
    episodes: Sequence[tuple[EpisodeSpec, Image.Image]],
    sampling: Sampling,
    *,
    seeds: Sequence[int] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Finish]:
    """The end of every episode, in order.

    `sampling.seed` is spread: every turn of every episode gets its own seed, so that rollouts of one question differ
    and a run repeats. `seeds` gives each episode its seed instead, for work that resumes with other neighbours.
    `on_progress(finished, all)` is called after every round.

    Raises:
        EngineError: the engine broke its contract (another number of events than requests).
    """
    finished: dict[int, Finish] = {}
    running: list[_Running] = []
    for index, (spec, _) in enumerate(episodes):
        try:
            _sort_in(index, *start(spec), running, finished)
        except DataError as error:  # a picture of which no view is possible is this episode's end, not the batch's
            finished[index] = _not_started(error)
    while running:
        asked, running = running, []
        requests = [_request(item, episodes[item.place][1], sampling, seeds) for item in asked]
        for item, event in zip(asked, await _events(engine, requests), strict=True):
            _sort_in(item.place, *advance(item.state, event), running, finished)
        if on_progress is not None:
            on_progress(len(finished), len(episodes))
    return [finished[index] for index in range(len(episodes))]


def derived_seed(seed: int, *path: int) -> int:
    """A seed of 48 bits for a place in a tree of seeds; the same on every machine. 48 bits pass through any JSON."""
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")


def _sort_in(
    index: int,
    state: EpisodeState,
    command: AskModel | Finish,
    running: list[_Running],
    finished: dict[int, Finish],
) -> None:
    if isinstance(command, Finish):
        finished[index] = command
    else:
        running.append(_Running(index, state, command))


def _request(item: _Running, picture: Image.Image, sampling: Sampling, seeds: Sequence[int] | None) -> Request:
    seed = sampling.seed
    if seeds is not None:
        seed = derived_seed(seeds[item.place], item.ask.turn)
    elif seed is not None:
        seed = derived_seed(seed, item.place, item.ask.turn)
    return Request(messages=item.ask.messages, picture=picture, sampling=replace(sampling, seed=seed))


async def _events(engine: Engine, requests: Sequence[Request]) -> Sequence[Event]:
    try:
        events = await engine.generate(requests)
    except BackendError as error:
        return [BackendFailed(error=str(error))] * len(requests)
    if len(events) != len(requests):
        raise EngineError(
            f"engine {engine.model!r} gave {len(events)} events to {len(requests)} requests: its bug", retryable=False
        )
    return events


def _not_started(error: DataError) -> Finish:
    trace = Trace(turns=(), views=(), messages=())
    return Finish(outcome=Outcome.FAILED, answer=None, trace=trace, error=str(error))
