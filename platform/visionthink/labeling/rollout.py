"""The rollouts of a sample at both sizes, and the label that follows from their grades. Pure.

Rule: a sample's rollouts follow from the run's seed and the sample's id alone, whatever was labelled before or beside
it. So a run that was killed and resumed gives the labels that it would have given.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from visionthink.core.geometry import Size
from visionthink.core.label import LabelRule, decide
from visionthink.core.sample import Sample
from visionthink.engines import Sampling
from visionthink.episodes.driver import derived_seed
from visionthink.episodes.prompting import ViewPolicy
from visionthink.episodes.runner import Ask, Done, End, GradedEpisode, Lost
from visionthink.labeling.record import Labelled

_POLICIES: Final[tuple[ViewPolicy, ...]] = ("always_low", "always_high")
_TEMPERATURE: Final = 1.0
"""The paper's rollouts are drawn, not greedy: the share of correct ones is what is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSetting:
    """What labels are decided by, besides model and samples."""

    rule: LabelRule
    max_reply_tokens: int
    seed: int

    def asks(self, sample: Sample) -> tuple[Ask, ...]:
        """`rule.num_rollouts` rollouts of the sample at each size, those of the quarter view first."""
        number = sample_number(sample.id)
        return tuple(
            Ask(
                policy=policy,
                sampling=Sampling(
                    temperature=_TEMPERATURE,
                    max_tokens=self.max_reply_tokens,
                    seed=derived_seed(self.seed, number, _POLICIES.index(policy), rollout),
                ),
            )
            for policy in _POLICIES
            for rollout in range(self.rule.num_rollouts)
        )

    def record(self, sample: Sample, end: End) -> Labelled:
        """What the rollouts say of the sample."""
        match end:
            case Lost(error=error):
                return self._labelled(sample, None, 0.0, 0.0, error)
            case Done(size=size, episodes=episodes):
                quarter, full = episodes[: self.rule.num_rollouts], episodes[self.rule.num_rollouts :]
                errors = [f"the judge cannot tell: {one.grade.error}" for one in episodes if one.grade.failed]
                return self._labelled(sample, size, _num_correct(quarter), _num_correct(full), *errors[:1])

    def _labelled(
        self, sample: Sample, size: Size | None, quarter: float, full: float, error: str | None = None
    ) -> Labelled:
        return Labelled(
            id=sample.id,
            family=sample.family,
            num_correct_quarter=quarter,
            num_correct_full=full,
            label=None if error else decide(quarter, full, self.rule),
            truth=sample.needs_high_res,
            error=error,
            size=size,
        )


def sample_number(name: str) -> int:
    """A number of 48 bits for a sample's id; the same on every machine."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big")


def _num_correct(episodes: tuple[GradedEpisode, ...]) -> float:
    """Partial credit counts for what it is."""
    return sum(one.grade.correct for one in episodes if not one.grade.failed)
