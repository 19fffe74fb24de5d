"""What a step's rollouts are worth within their groups, in which order they are learned from, and in numbers. Pure.

Rule: rewards and dropped groups are `core`'s. veRL makes advantages of what it is given here: the rewards of a kept
group as they are, and for a dropped one zeros throughout, which is no advantage (the divergence from the base model
still pulls, as in the local trainer). A group of which a rollout is missing or failed is dropped.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from visionthink import metrics as m
from visionthink.core.advantage import Advantages, group_advantages
from visionthink.core.reward import Graded, RewardParts, RewardRule, group_rewards
from visionthink.errors import EngineError
from visionthink.training.order import in_turn
from visionthink.training.verl.rollout import graded_from

Facts = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rollout of a step."""

    group: str
    """The prompt that it belongs to."""
    facts: Facts
    """See `rollout.facts_of`."""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewarded:
    """A step's rows, compared."""

    rewards: tuple[float, ...]
    """`[row]`, as veRL is to be given them: 0 throughout a dropped group."""
    kept: tuple[bool, ...]
    """`[row]`: whether its group gives a gradient."""
    order: tuple[int, ...]
    """Places of the rows, whole groups together and labels in turn, so that every mini-batch is like the others."""
    metrics: Mapping[str, float]
    """The step in numbers, by registered name."""


def rewarded(rows: Sequence[Row], rule: RewardRule, *, group_size: int) -> Rewarded:
    """Compare the rows of a step.

    Raises:
        EngineError: every one of them failed, which is an outage.
    """
    graded = [graded_from(row.facts) for row in rows]
    if all(item.judge_failed for item in graded):
        raise EngineError(
            f"all {len(rows)} rollouts of a step failed, the first because of: {_why(rows)}. See that the judge "
            "(judge.uri) and the pictures can be had from every node",
            retryable=True,
        )
    groups = _places(rows)
    parts = _parts(graded, groups, rule)
    advantages = group_advantages(
        [[parts[place].total for place in places] for places in groups],
        [len(places) < group_size or any(graded[place].judge_failed for place in places) for places in groups],
    )
    kept = {place: is_kept for places, is_kept in zip(groups, advantages.kept, strict=True) for place in places}
    return Rewarded(
        rewards=tuple(parts[place].total if kept[place] else 0.0 for place in range(len(rows))),
        kept=tuple(kept[place] for place in range(len(rows))),
        order=tuple(place for places in _in_turn(rows, groups) for place in places),
        metrics=_metrics(rows, graded, parts, advantages),
    )


def _places(rows: Sequence[Row]) -> list[list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        groups[row.group].append(place)
    return list(groups.values())


def _parts(graded: Sequence[Graded], groups: Sequence[Sequence[int]], rule: RewardRule) -> dict[int, RewardParts]:
    return {
        place: parts
        for places in groups
        for place, parts in zip(places, group_rewards([graded[place] for place in places], rule), strict=True)
    }


def _in_turn(rows: Sequence[Row], groups: Sequence[list[int]]) -> list[list[int]]:
    needed = [places for places in groups if rows[places[0]].facts["needed"] > 0]
    return in_turn(needed, [places for places in groups if rows[places[0]].facts["needed"] <= 0])


def _why(rows: Sequence[Row]) -> str:
    return next((row.error for row in rows if row.error), "nobody said why")


def _metrics(
    rows: Sequence[Row], graded: Sequence[Graded], parts: Mapping[int, RewardParts], advantages: Advantages
) -> dict[str, float]:
    """As the local trainer counts them: a failed rollout is in no mean."""
    counted = [place for place, item in enumerate(graded) if not item.judge_failed]

    def mean(value: Callable[[int], float], places: Sequence[int] = counted) -> float:
        return sum(map(value, places)) / len(places)

    def fact(name: str) -> Callable[[int], float]:
        return lambda place: rows[place].facts[name]

    total = mean(lambda place: parts[place].total)
    values = {
        m.GROUP_NUM_KEPT: advantages.num_kept,
        m.GROUP_NUM_ZERO_VARIANCE: advantages.num_zero_variance,
        m.GROUP_NUM_JUDGE_FAILED: advantages.num_judge_failed,
        m.GROUP_NUM_ROLLOUTS_FAILED: len(rows) - len(counted),
        m.REWARD_MEAN: total,
        m.REWARD_STD: mean(lambda place: (parts[place].total - total) ** 2) ** 0.5,
        m.REWARD_ACCURACY: mean(fact("acc")),
        m.REWARD_FORMAT: mean(fact("format_ok")),
        m.REWARD_PENALTY: mean(lambda place: parts[place].penalty),
        m.RESIZE_RATE: mean(fact("asked")),
        m.POLICY_TURNS_MEAN: mean(fact("turns")),
        m.POLICY_REPLY_TOKENS_MEAN: mean(fact("reply_tokens")),
        m.POLICY_VISUAL_TOKENS_MEAN: mean(fact("visual_tokens")),
        m.POLICY_TRUNCATED_RATIO: mean(fact("truncated")),
    }
    for metric, label in ((m.RESIZE_RATE_NEEDED, 1.0), (m.RESIZE_RATE_NOT_NEEDED, 0.0)):
        if side := [place for place in counted if rows[place].facts["needed"] == label]:
            values[metric] = mean(fact("asked"), side)
    return {metric.key(): float(value) for metric, value in values.items()}
