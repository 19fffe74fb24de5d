"""Rollouts of samples at both sizes, graded, counted and turned into labels.

Rule: a sample's rollouts follow from the run's seed and the sample's id alone, whatever was labelled before or beside
it. So a run that was killed and resumed gives the labels that it would have given.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from visionthink.core.episode import Finish
from visionthink.core.label import LabelRule, decide
from visionthink.core.sample import Sample
from visionthink.engines import Engine, Sampling
from visionthink.episodes.driver import derived_seed, run_episodes
from visionthink.episodes.prompting import Prompting, ViewPolicy
from visionthink.errors import EngineError
from visionthink.judges import Grade, GradeItem, Judge
from visionthink.labeling.record import Labelled
from visionthink.samples import size_of_picture

_POLICIES: Final[tuple[ViewPolicy, ...]] = ("always_low", "always_high")
_TEMPERATURE: Final = 1.0
"""The paper's rollouts are drawn, not greedy: the share of correct ones is what is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSetting:
    """What labels are decided by, besides model and samples."""

    prompting: Prompting
    rule: LabelRule
    max_reply_tokens: int
    seed: int


async def label_samples(
    samples: Sequence[Sample], pictures: Sequence[Image.Image], *, engine: Engine, judge: Judge, setting: LabelSetting
) -> list[Labelled]:
    """What `rule.num_rollouts` rollouts at each size say of every sample, in order.

    Raises:
        EngineError: not one rollout came off.
    """
    num = setting.rule.num_rollouts
    places = [
        (index, policy, rollout) for index in range(len(samples)) for policy in _POLICIES for rollout in range(num)
    ]
    specs = {
        (index, policy): setting.prompting.spec(sample.question, size_of_picture(picture), policy)
        for index, (sample, picture) in enumerate(zip(samples, pictures, strict=True))
        for policy in _POLICIES
    }
    finishes = await run_episodes(
        engine,
        [(specs[index, policy], pictures[index]) for index, policy, _ in places],
        Sampling(temperature=_TEMPERATURE, max_tokens=setting.max_reply_tokens),
        seeds=[
            derived_seed(setting.seed, sample_number(samples[index].id), _POLICIES.index(policy), rollout)
            for index, policy, rollout in places
        ],
    )
    if finishes and all(finish.error for finish in finishes):
        raise EngineError(f"every rollout failed, the first with: {finishes[0].error}", retryable=True)
    items = [
        GradeItem(question=samples[index].question, answer=samples[index].answer, prediction=finish.answer)
        for (index, _, _), finish in zip(places, finishes, strict=True)
    ]
    grades = await asyncio.gather(*map(judge.grade, items))
    step = len(_POLICIES) * num
    return [
        _labelled(sample, finishes[start : start + step], grades[start : start + step], setting.rule)
        for sample, start in zip(samples, range(0, len(places), step), strict=True)
    ]


def sample_number(name: str) -> int:
    """A number of 48 bits for a sample's id; the same on every machine."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big")


def _labelled(sample: Sample, finishes: Sequence[Finish], grades: Sequence[Grade], rule: LabelRule) -> Labelled:
    """`finishes` and `grades`: first those of the quarter view, then those of the full one."""
    is_correct = [grade.correct >= 0.5 and not grade.failed for grade in grades]
    quarter, full = sum(is_correct[: rule.num_rollouts]), sum(is_correct[rule.num_rollouts :])
    errors = [finish.error for finish in finishes if finish.error]
    errors += ["the judge failed" for grade in grades if grade.failed]
    return Labelled(
        id=sample.id,
        family=sample.family,
        num_correct_quarter=quarter,
        num_correct_full=full,
        label=None if errors else decide(quarter, full, rule),
        truth=sample.needs_high_res,
        error=errors[0] if errors else None,
    )
