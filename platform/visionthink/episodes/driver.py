"""Drives one episode over an engine: the one driver that labelling, training, evaluation and serving share.

Rule: it moves values between `core.episode` and an engine and decides nothing.
"""

import hashlib
from dataclasses import replace

from PIL import Image

from visionthink.core.episode import AskModel, EpisodeSpec, Finish, advance, start
from visionthink.engines.engine import Engine, Request, Sampling


async def run_episode(
    engine: Engine,
    spec: EpisodeSpec,
    picture: Image.Image,
    sampling: Sampling,
    *,
    further_pictures: tuple[Image.Image, ...] = (),
    place: tuple[int, ...] = (),
    session: str | None = None,
) -> Finish:
    """The end of the episode.

    `sampling.seed` is spread: every turn gets its own seed, which follows from it, from `place` (the episode's own
    among others of one seed) and from the turn's number, so that rollouts of one question differ and a run repeats.
    `session` names the episodes that look at the same pictures; `further_pictures` are those behind the first one.

    Raises:
        DataError: no view of a picture is possible, or the question has not one image marker per picture.
        EngineError: the engine cannot answer anything before somebody mends something.
    """
    state, command = start(spec)
    while isinstance(command, AskModel):
        seed = None if sampling.seed is None else derived_seed(sampling.seed, *place, command.turn)
        request = Request(
            messages=command.messages,
            picture=picture,
            further_pictures=further_pictures,
            sampling=replace(sampling, seed=seed),
            session=session,
        )
        state, command = advance(state, await engine.reply(request))
    return command


def derived_seed(seed: int, *path: int) -> int:
    """A seed of 48 bits for a place in a tree of seeds; the same on every machine. 48 bits pass through any JSON."""
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")
