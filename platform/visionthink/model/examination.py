"""What a freshly built base model can do: how well it reads either view, and how often it asks.

Rule: pictures of the validation split, drawn replies (temperature 1, as in labelling and training), the shared driver.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.datasets.world.family import FAMILIES
from visionthink.datasets.world.generate import generate
from visionthink.engines import Sampling
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.opening import open_runner
from visionthink.episodes.prompting import ViewPolicy
from visionthink.episodes.runner import Ask, Done, End, Lost, Work
from visionthink.errors import EngineError
from visionthink.judges import RuleJudge
from visionthink.model.folder import LoadedModel

_POLICIES: Final[tuple[ViewPolicy, ...]] = ("always_low", "always_high", "auto")


def examine(loaded: LoadedModel, *, seed: int, num_samples: int = 500) -> dict[str, dict[str, dict[str, float]]]:
    """`{policy: {family: {"accuracy", "resize_rate", "num_samples"}}}` over `num_samples` questions a policy.

    Raises:
        EngineError: an answer could not be had.
    """
    return asyncio.run(_examined(loaded, seed, num_samples))


async def _examined(loaded: LoadedModel, seed: int, num_samples: int) -> dict[str, dict[str, dict[str, float]]]:
    config = RunConfig()
    samples = list(generate("validation", num_samples, seed=seed, families=tuple(FAMILIES)))
    engine = TransformersEngine(loaded.model, loaded.processor, batch_size=config.model.batch_size)
    ends: dict[int, Done] = {}

    def on_end(work: Work[int], end: End) -> None:
        if isinstance(end, Lost):
            raise EngineError(f"{work.sample.id} could not be asked: {end.error}", retryable=False)
        ends[work.key] = end

    async with open_runner(engine, RuleJudge(), config) as runner:
        await runner.run(_work(samples, seed, config), on_end)
    return {
        policy: {family: _summary(samples, ends, number, family) for family in FAMILIES}
        for number, policy in enumerate(_POLICIES)
    }


def _work(samples: Sequence[Sample], seed: int, config: RunConfig) -> list[Work[int]]:
    """Every sample under every policy, drawn."""
    sampling = Sampling(temperature=1.0, max_tokens=config.episode.max_reply_tokens, seed=seed)
    return [
        Work(
            key=index,
            sample=sample,
            asks=tuple(Ask(policy=policy, sampling=sampling, place=(index,)) for policy in _POLICIES),
        )
        for index, sample in enumerate(samples)
    ]


def _summary(samples: Sequence[Sample], ends: Mapping[int, Done], number: int, family: str) -> dict[str, float]:
    """How the episodes under policy `number` went on a family."""
    own = [end.episodes[number] for index, end in ends.items() if samples[index].family == family]
    return {
        "num_samples": len(own),
        "accuracy": round(sum(one.grade.correct for one in own) / len(own), 4),
        "resize_rate": round(sum(one.finish.trace.asked for one in own) / len(own), 4),
    }
