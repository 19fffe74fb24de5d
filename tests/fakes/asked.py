"""Episodes over an engine without a stage around them."""

import asyncio
from collections.abc import Sequence

from visionthink.config import RunConfig
from visionthink.core.episode import Finish
from visionthink.core.sample import Sample
from visionthink.engines import Engine, Sampling
from visionthink.episodes.opening import limits_of
from visionthink.episodes.prompting import ViewPolicy, prompting_of
from visionthink.episodes.runner import Ask, EpisodeRunner, RunnerLimits
from visionthink.judges import Judge, RuleJudge
from visionthink.picture import decode


class Naps:
    """Waits that cost nothing, and how long they would have been."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, delay_s: float) -> None:
        self.waits.append(delay_s)
        await asyncio.sleep(0)


def runner_over(
    engine: Engine,
    judge: Judge | None = None,
    *,
    config: RunConfig | None = None,
    limits: RunnerLimits | None = None,
    naps: Naps | None = None,
    has_succeeded: bool = False,
) -> EpisodeRunner:
    """A runner whose retries wait for nothing."""
    config = config or RunConfig()
    return EpisodeRunner(
        engine,
        judge or RuleJudge(),
        prompting_of(config),
        decode=lambda sample: decode(sample.picture, name=sample.id, max_pixels=config.data.max_picture_pixels),
        limits=limits or limits_of(config),
        has_succeeded=has_succeeded,
        sleep=(naps or Naps()).sleep,
    )


async def held(engine: Engine, samples: Sequence[Sample], policy: ViewPolicy, sampling: Sampling) -> list[Finish]:
    """The ends of one episode about each sample, side by side."""
    runner = runner_over(engine)
    ask = Ask(policy=policy, sampling=sampling)
    return list(await asyncio.gather(*(runner.episode(sample, ask) for sample in samples)))
