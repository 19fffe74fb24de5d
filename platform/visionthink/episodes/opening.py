"""A runner as the settings say.

Rule: whoever opens an engine and a judge for a piece of work hands both over here, and both are closed at its end,
however it ends.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from visionthink.config import RunConfig
from visionthink.core.first_look import CallForecast
from visionthink.engines import Engine
from visionthink.episodes.prompting import prompting_of
from visionthink.episodes.runner import EpisodeRunner, RunnerLimits
from visionthink.judges import Judge
from visionthink.picture import decode


@asynccontextmanager
async def open_runner(
    engine: Engine,
    judge: Judge,
    config: RunConfig,
    *,
    has_succeeded: bool = False,
    forecast: CallForecast | None = None,
) -> AsyncIterator[EpisodeRunner]:
    """Hold and grade episodes with `engine` and `judge`, which are closed at the end.

    `has_succeeded` tells that an earlier try of the same work got results. `forecast` is the one of the model that is
    asked, for asks that leave the first look open.
    """
    max_pixels = config.data.max_picture_pixels
    try:
        yield EpisodeRunner(
            engine,
            judge,
            prompting_of(config, forecast),
            decode=lambda sample: decode(sample.picture, name=sample.name, max_pixels=max_pixels),
            limits=limits_of(config),
            has_succeeded=has_succeeded,
        )
    finally:
        await engine.aclose()
        await judge.aclose()


def limits_of(config: RunConfig) -> RunnerLimits:
    """What a runner may hold and wait for."""
    return RunnerLimits(
        max_in_flight=config.model.max_in_flight,
        timeout_s=config.model.episode_timeout_s,
        skips_bad_pictures=config.data.skip_bad,
    )
