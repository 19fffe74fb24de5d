"""How much better a rollout was than the others of its sample (GRPO), as a whole or turn by turn (DTPO).

Rule: a group that teaches nothing is dropped and counted, never trained on with made-up numbers. It teaches nothing
when all of its rewards are the same, or when the judge failed on one of its rollouts: a failed judge is not a wrong
answer.

By ``episode`` all tokens of a rollout have one advantage, that of its whole reward. By ``turn`` outcome (accuracy and
format) and tool (what was asked for, the penalty with its sign turned) are compared apart, each with the group's mean
and spread of its own over all of the group's rollouts i:

    A_outcome(i) = (outcome(i) - mean) / (std + eps)        A_tool(i) likewise, of -penalty(i)
    a turn that may ask:        A_outcome(i) + tool_weight x A_tool(i)
    a turn that only answers:   A_outcome(i)

Every first turn may ask, so the only turn of a direct answer has both parts: not to ask was its decision, and what the
others paid for asking speaks for it. Later turns may ask if they do; in those where the answer is demanded a call is no
more than a bad answer. So only the words of a decision to look are charged for it, and never the reading of what came.

Source: VisionThink 3.1; the numbers by episode agree with veRL's ``compute_grpo_outcome_advantage`` (a test compares
them). By turn: AdaptVision (arXiv 2512.03794), its released ``compute_DTPO_advantage`` and the weight of its script.
There the tool's reward is a judge's of the region, and its area; the penalty by episode belongs to the outcome; and a
group is dropped for equal sums of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from visionthink.core.trace import Signal, Trace, TurnTrace
from visionthink.errors import DataError

AdvantageRule: TypeAlias = Literal["episode", "turn"]
"""What is compared within a group: whole rewards, or those of outcome and tool apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advantages:
    """Advantages of a batch of groups, and what was left out of it."""

    values: tuple[tuple[float, ...], ...]
    """``[group][rollout]``; 0 in dropped groups, sums to 0 in kept ones. For all of a rollout's tokens, or those of its
    turns that may ask."""
    answers: tuple[tuple[float, ...], ...]
    """The same for turns that only answer; by episode they are the ``values``."""
    kept: tuple[bool, ...]
    """``[group]``; train on these only."""
    num_zero_variance: int
    """Groups dropped for equal rewards."""
    num_judge_failed: int
    """Groups dropped for a failed judge, whatever their rewards."""

    @property
    def num_kept(self) -> int:
        """Groups to train on."""
        return sum(self.kept)


def group_advantages(
    rewards: Sequence[Sequence[float]],
    failed: Sequence[bool],
    *,
    min_std: float = 1e-4,
    eps: float = 1e-6,
    normalise: bool = True,
) -> Advantages:
    """Centre each group's rewards, and divide by their spread.

    Args:
        rewards: ``[group][rollout]``; groups may differ in size. A group of one has no spread and is dropped.
        failed: ``[group]``; whether the judge failed on any of the group's rollouts.
        min_std: groups with a smaller standard deviation (unbiased, as in veRL) are dropped.
        eps: added to the standard deviation before dividing by it.
        normalise: whether to divide at all; without, large and small spreads weigh as they are (Dr. GRPO).

    Raises:
        DataError: a group is empty, a reward of a kept group is not finite, or the lengths differ.
    """
    if len(rewards) != len(failed):
        raise DataError(f"{len(rewards)} groups of rewards but {len(failed)} failed marks; give one mark a group")
    stds = [
        0.0 if has_failed else _std(group, index)
        for index, (group, has_failed) in enumerate(zip(rewards, failed, strict=True))
    ]
    kept = tuple(not has_failed and std >= min_std for std, has_failed in zip(stds, failed, strict=True))
    values = tuple(
        _centred(group, std + eps if normalise else 1.0) if is_kept else (0.0,) * len(group)
        for group, std, is_kept in zip(rewards, stds, kept, strict=True)
    )
    num_failed = sum(failed)
    return Advantages(
        values=values,
        answers=values,
        kept=kept,
        num_zero_variance=len(kept) - sum(kept) - num_failed,
        num_judge_failed=num_failed,
    )


def turn_advantages(
    outcomes: Sequence[Sequence[float]],
    tools: Sequence[Sequence[float]],
    failed: Sequence[bool],
    *,
    tool_weight: float = 0.3,
    min_std: float = 1e-4,
    eps: float = 1e-6,
) -> Advantages:
    """Compare outcome and tool apart; see the module for the equation.

    A group is kept if either tells its rollouts apart; the part that does not is 0.

    Args:
        outcomes: ``[group][rollout]``; what the answers are worth.
        tools: the same shape; what asking, or not asking, is worth.
        failed: ``[group]``; whether the judge failed on any of the group's rollouts.
        tool_weight: of the tool's part in turns that may ask; 0 leaves it out.
        min_std: smaller spreads are none, see ``group_advantages``.
        eps: added to each spread.

    Raises:
        DataError: the shapes differ, or as ``group_advantages``.
    """
    if [*map(len, outcomes)] != [*map(len, tools)]:
        raise DataError("outcomes and tools are of different shapes; give each rollout one of both")
    outcome = group_advantages(outcomes, failed, min_std=min_std, eps=eps)
    tool = group_advantages(tools, failed, min_std=min_std, eps=eps)
    kept = tuple(one or (other and tool_weight > 0) for one, other in zip(outcome.kept, tool.kept, strict=True))
    values = tuple(
        tuple(one + tool_weight * other for one, other in zip(*both, strict=True))
        for both in zip(outcome.values, tool.values, strict=True)
    )
    return Advantages(
        values=values,
        answers=outcome.values,
        kept=kept,
        num_zero_variance=len(kept) - sum(kept) - outcome.num_judge_failed,
        num_judge_failed=outcome.num_judge_failed,
    )


def by_turn(trace: Trace, value: float, answer: float) -> tuple[float, ...]:
    """``[turn]``: the advantage of each turn's tokens, of a rollout whose two advantages are these."""
    return tuple(answer if _only_answers(turn) else value for turn in trace.turns)


def _only_answers(turn: TurnTrace) -> bool:
    return turn.turn > 1 and (turn.forced or turn.signal not in (Signal.CALL, Signal.BAD_CALL))


def _std(group: Sequence[float], index: int) -> float:
    if not group or not np.isfinite(group).all():
        raise DataError(f"group {index} of rewards is empty or not finite: {list(group)}; look at its grading")
    return float(np.std(group, ddof=1)) if len(group) > 1 else 0.0


def _centred(group: Sequence[float], scale: float) -> tuple[float, ...]:
    values = np.asarray(group, dtype=np.float64)
    return tuple(((values - values.mean()) / scale).tolist())
