"""What a freshly built base model can do: how well it reads either view, and how often it asks.

Rule: pictures of the validation split, drawn replies (temperature 1, as in labelling and training), the shared driver.
What reinforcement learning cannot start from is told here, and not after it has failed.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from visionthink.config import RunConfig
from visionthink.core.closer_look import named_view
from visionthink.core.sample import Sample
from visionthink.datasets.world.generate import generate
from visionthink.datasets.world.layout import Layout, get_layout
from visionthink.engines import Sampling
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.opening import open_runner
from visionthink.episodes.prompting import ViewPolicy, prompting_of
from visionthink.episodes.runner import Ask, Done, End, GradedEpisode, Lost, Work
from visionthink.errors import EngineError
from visionthink.judges import RuleJudge
from visionthink.model.folder import LoadedModel

_POLICIES: Final[tuple[ViewPolicy, ...]] = ("always_low", "always_high", "auto")
_NAMED_PLACE: Final = re.compile(r"^<think>the [\w ]+ , (\w+(?: \w+)?) \.")
_Figures = dict[str, dict[str, float]]


class LeastAim(NamedTuple):
    """From what reinforcement learning has been seen to learn where to look."""

    right: float
    """Of granted calls for a region."""
    named: float
    """Of first thoughts that name the right place."""


OF_QUARTERS: Final = LeastAim(right=0.45, named=0.8)
"""From .37 right ones and fewer it never did (docs/adr/0008), where a quarter by chance is right in .25."""
OF_WINDOWS: Final = LeastAim(right=0.39, named=0.65)
"""From .40 and .65 it did, from .35 and .65 it left needless asks (docs/adr/0009): of nine windows few are right by
chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionFigures:
    """How a base model deals with regions on questions that need more pixels; shares, None of nothing."""

    accuracy_full: float | None
    """Of answers on the full view alone ..."""
    accuracy_region: float | None
    """... and on the right region alone."""
    named_rate: float | None
    """Of first thoughts that name the right place."""
    right_rate: float | None
    """Of granted calls for a region that show the right one."""
    whole_rate: float | None
    """Of granted calls that show the whole."""

    def problems(self, least: LeastAim = OF_QUARTERS) -> Iterator[str]:
        """Why reinforcement learning would not find out where to look; nothing of a model that can learn it."""
        if (self.right_rate or 0.0) < least.right:
            yield (
                f"{self.right_rate or 0.0:.2f} of its regions are right, at least {least.right} are needed: from "
                "fewer, training learns that the whole is always right and a region seldom"
            )
        if (self.named_rate or 0.0) < least.named:
            yield (
                f"{self.named_rate or 0.0:.2f} of its thoughts name the right place, at least {least.named} are "
                "needed: an aim is a copy of the place that was named"
            )
        if not self.accuracy_full or (self.accuracy_region or 0.0) < _MIN_READING_RATIO * self.accuracy_full:
            yield (
                f"it reads {self.accuracy_region or 0.0:.2f} of right regions and {self.accuracy_full or 0.0:.2f} of "
                f"full views, at least {_MIN_READING_RATIO} of that is needed: else a region never pays"
            )


_MIN_READING_RATIO: Final = 0.9


def examine(loaded: LoadedModel, *, seed: int, num_samples: int = 500) -> dict[str, _Figures]:
    """`{policy: {family: {"accuracy", "resize_rate", "num_samples"}}}` over `num_samples` questions a policy.

    Raises:
        EngineError: an answer could not be had.
    """
    return _by_policy(RunConfig(), loaded, seed, num_samples)[0]


def examine_regions(
    loaded: LoadedModel, config: RunConfig, *, seed: int, num_samples: int = 500
) -> tuple[dict[str, _Figures], RegionFigures]:
    """What `examine` tells of a model that `config` asks, and how it deals with regions.

    Raises:
        EngineError: an answer could not be had.
    """
    found, samples, ends = _by_policy(config, loaded, seed, num_samples, asks_regions=True)
    pairs = [(sample, end.episodes) for sample, end in zip(samples, ends, strict=True) if sample.needs_high_res]
    named = [_names_place(sample, config, episodes[_POLICIES.index("auto")]) for sample, episodes in pairs]
    traces = [(sample, episodes[_POLICIES.index("auto")].finish.trace) for sample, episodes in pairs]
    return found, RegionFigures(
        accuracy_full=_share([episodes[_POLICIES.index("always_high")].grade.correct for _, episodes in pairs]),
        accuracy_region=_share([episodes[-1].grade.correct for _, episodes in pairs]),
        named_rate=_share(named),
        right_rate=_share(
            [right for sample, trace in traces if (right := trace.asked_right(sample.region)) is not None]
        ),
        whole_rate=_share([trace.asked_whole for _, trace in traces if trace.asked]),
    )


def _share(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _names_place(sample: Sample, config: RunConfig, episode: GradedEpisode) -> bool:
    """Whether the thought names a region that holds the evidence, whichever."""
    found = _NAMED_PLACE.match(episode.finish.trace.replies[0])
    return found is not None and found[1] in right_regions(sample, config)


def right_regions(sample: Sample, config: RunConfig) -> tuple[str, ...]:
    """The names of the regions of a picture of the world that hold the evidence."""
    size, rule = get_layout(config.data.layout).size, config.view.rule()
    boxes = {name: named_view(name, size, rule).box for name in prompting_of(config).regions}
    found = tuple(name for name, box in boxes.items() if box and sample.region and box.contains(sample.region))
    assert found, f"{sample.id} has its evidence in no single region"
    return found


def _asked_families(layout: Layout[Any]) -> tuple[str, ...]:
    """The families whose evidence one look shows."""
    return tuple(name for name, family in layout.families.items() if family.num_looks == 1)


def _by_policy(
    config: RunConfig, loaded: LoadedModel, seed: int, num_samples: int, *, asks_regions: bool = False
) -> tuple[dict[str, _Figures], list[Sample], list[Done]]:
    layout = get_layout(config.data.layout)
    families = _asked_families(layout)
    samples = list(generate("validation", num_samples, seed=seed, families=families, layout=layout))
    work = _work(samples, seed, config, asks_regions=asks_regions)
    ends = asyncio.run(_held(config, loaded, work))
    figures: dict[str, _Figures] = {
        policy: {family: _summary(samples, ends, number, family) for family in families}
        for number, policy in enumerate(_POLICIES)
    }
    return figures, samples, [ends[index] for index in range(len(samples))]


async def _held(config: RunConfig, loaded: LoadedModel, work: Sequence[Work[int]]) -> dict[int, Done]:
    engine = TransformersEngine(loaded.model, loaded.processor, batch_size=config.model.batch_size)
    ends: dict[int, Done] = {}

    def on_end(work: Work[int], end: End) -> None:
        if isinstance(end, Lost):
            raise EngineError(f"{work.sample.id} could not be asked: {end.error}", retryable=False)
        ends[work.key] = end

    async with open_runner(engine, RuleJudge(), config) as runner:
        await runner.run(work, on_end)
    return ends


def _work(samples: Sequence[Sample], seed: int, config: RunConfig, *, asks_regions: bool) -> list[Work[int]]:
    """Every sample under every policy, drawn; and on its right region alone."""
    sampling = Sampling(temperature=1.0, max_tokens=config.episode.max_reply_tokens, seed=seed)

    def asks(index: int, sample: Sample) -> tuple[Ask, ...]:
        found = tuple(Ask(policy=policy, sampling=sampling, place=(index,)) for policy in _POLICIES)
        if not asks_regions:
            return found
        region = right_regions(sample, config)[0]
        return (*found, Ask(policy="always_low", sampling=sampling, place=(index,), region=region))

    return [Work(key=index, sample=sample, asks=asks(index, sample)) for index, sample in enumerate(samples)]


def _summary(samples: Sequence[Sample], ends: Mapping[int, Done], number: int, family: str) -> dict[str, float]:
    """How the episodes under policy `number` went on a family."""
    own = [end.episodes[number] for index, end in ends.items() if samples[index].family == family]
    return {
        "num_samples": len(own),
        "accuracy": round(sum(one.grade.correct for one in own) / len(own), 4),
        "resize_rate": round(sum(one.finish.trace.asked for one in own) / len(own), 4),
    }
