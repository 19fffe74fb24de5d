"""What an episode is worth: accuracy, plus format, minus a penalty that keeps the model from always or never asking.

Rule: rewards belong to a *group*, all rollouts of one sample, because the penalty depends on how the group solved it.
The paper and its released code disagree about the penalty; both are here. They charge by the episode, whatever it
looked at; ``tokens`` charges for what was looked at, and ``none`` leaves the penalty out.

With r the share of direct answers among the group's correct ones, and the default numbers:

    rule      r < theta                                   r >= theta
    paper     every direct answer loses 0.1               every episode with a call loses 0.1
    released  correct direct answers lose 0.1 if r > 0,   correct episodes with a call lose a tenth
              correct ones with a call lose a tenth
    tokens    0.1 x visual tokens of the views after the first / those of the full view, right or wrong
    none      nothing                                     nothing

So below the threshold ``paper`` prefers asking, while ``released`` only makes both worth the same. ``paper`` charges
wrong answers too; ``released`` never does. Trying counts as a call, also when the tool refused it; but that shows
nothing, so ``tokens`` does not charge for it. Nothing but the turn budget caps the charge by tokens: each look costs
what it shows. ``token_penalty`` charges so on top of any rule.

Source: VisionThink equations 4 and 5; released trainer and ``general_qa_tool`` scorer (weights 1.0 and 0.5, theta 0.2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from visionthink.core.geometry import Size, ViewRule, full_view
from visionthink.core.trace import Trace
from visionthink.errors import ConfigError, DataError

PenaltyRule: TypeAlias = Literal["paper", "released", "tokens", "none"]
"""Who pays for calling, or for not calling; see the module."""

_RELEASED_EPSILON = 1e-4
"""Added to the number of correct rollouts by the released code. Visible at exact shares: 1 of 5 is below 0.2 there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRule:
    """The numbers of the reward; the defaults are those of the released script."""

    accuracy_weight: float = 1.0
    """Reward of a correct answer, > 0."""
    format_weight: float = 0.5
    """Reward of keeping the format in every turn."""
    penalty: float = 0.1
    """Taken off for calling a tool: an amount for ``paper``, a share of the accuracy for ``released``, and for
    ``tokens`` the amount that the full view costs."""
    direct_penalty: float = 0.1
    """Taken off for not calling one, where the rule says so."""
    theta: float = 0.2
    """Share of direct answers among correct ones below which answering directly is what costs. 0 means never."""
    rule: PenaltyRule = "paper"
    token_penalty: float = 0.0
    """Taken off under every rule, for as many visual tokens after the first view as the full view has."""

    def __post_init__(self) -> None:
        """Refuse weights that turn the reward around."""
        others = (self.format_weight, self.penalty, self.direct_penalty, self.token_penalty)
        if not 0 < self.accuracy_weight < math.inf or not all(0 <= weight < math.inf for weight in others):
            raise ConfigError(f"accuracy_weight must be positive, the other weights at least 0, all finite, got {self}")
        if not 0 <= self.theta <= 1:
            raise ConfigError(f"theta is a share from 0 to 1, got {self.theta}")
        if self.rule == "released" and self.theta > 0 and not 0 < self.penalty <= 1:
            raise ConfigError(
                f"the released rule needs a penalty above 0 and at most 1 to tell calls apart, got {self.penalty}; "
                "set it, or theta 0, or rule none"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """What the reward needs to know of one rollout."""

    correct: float
    """0 wrong .. 1 correct; values between are partial credit."""
    format_ok: bool
    num_tool_calls: int
    """Turns that hold a call, valid or not."""
    judge_failed: bool = False
    """Whether ``correct`` is unknown. Such a group is dropped by the advantage, and its failed rollouts are worth 0."""
    asked_token_ratio: float = 0.0
    """Visual tokens of the views after the first over those of the full view; see ``asked_token_ratio``."""

    def __post_init__(self) -> None:
        """Refuse a grade outside 0..1, and what no episode can cost."""
        if not 0 <= self.correct <= 1 or self.num_tool_calls < 0:
            raise DataError(
                f"a rollout cannot be graded {self.correct} with {self.num_tool_calls} calls; a judge gives 0 to 1"
            )
        if not 0 <= self.asked_token_ratio < math.inf:
            raise DataError(
                f"a rollout cannot have asked for {self.asked_token_ratio} full views; give a number from 0"
            )

    @property
    def called(self) -> bool:
        """Whether a tool was called."""
        return self.num_tool_calls > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardParts:
    """A rollout's reward; ``total`` is ``accuracy + format - penalty``."""

    accuracy: float
    format: float
    penalty: float
    """What was taken off, >= 0."""
    total: float

    @property
    def outcome(self) -> float:
        """What the answer earned, before any penalty."""
        return self.accuracy + self.format


def group_rewards(group: Sequence[Graded], rule: RewardRule) -> tuple[RewardParts, ...]:
    """Rewards of the rollouts of one sample, in their order.

    Args:
        group: ``[rollout]``; every rollout of the sample, since the penalty looks at all of them.
        rule: weights and penalty rule.
    """
    judged = [graded for graded in group if not graded.judge_failed]
    match rule.rule:
        case "none":
            penalties = [0.0 for _ in group]
        case "paper":
            direct_pays = direct_ratio(judged) < rule.theta
            penalties = [_paper_penalty(graded, rule, direct_pays) for graded in group]
        case "released":
            direct_pays = 0 < _released_direct_ratio(judged) < rule.theta
            penalties = [_released_penalty(graded, rule, direct_pays) for graded in group]
        case "tokens":
            penalties = [rule.penalty * graded.asked_token_ratio for graded in group]
        case _:
            assert_never(rule.rule)
    return tuple(_parts(graded, rule, penalty) for graded, penalty in zip(group, penalties, strict=True))


def asked_token_ratio(trace: Trace, original: Size, rule: ViewRule) -> float:
    """What an episode looked at beyond its first view, in visual tokens, over what the full view costs.

    1 for the full view once. Several views may make it more.
    """
    if not trace.visual_tokens_asked:
        return 0.0
    return trace.visual_tokens_asked / full_view(original, rule).visual_tokens


def direct_ratio(group: Sequence[Graded]) -> float:
    """Share of direct answers among the correct ones: r of equation 5.

    0 when nothing is correct. Below the threshold that share makes direct answers pay, so a group that solves nothing
    is pushed to look closer.
    """
    correct = [graded for graded in group if graded.correct > 0]
    return sum(not graded.called for graded in correct) / len(correct) if correct else 0.0


def _released_direct_ratio(group: Sequence[Graded]) -> float:
    num_correct = sum(graded.correct > 0 for graded in group)
    num_direct = sum(_is_direct_hit(graded) for graded in group)
    return num_direct / (num_correct + _RELEASED_EPSILON)


def _is_direct_hit(graded: Graded) -> bool:
    """The released code finds direct answers by a full accuracy reward, so partial credit is none."""
    return graded.correct == 1 and not graded.called


def _paper_penalty(graded: Graded, rule: RewardRule, direct_pays: bool) -> float:
    if direct_pays:
        return 0.0 if graded.called else rule.direct_penalty
    return rule.penalty if graded.called else 0.0


def _released_penalty(graded: Graded, rule: RewardRule, direct_pays: bool) -> float:
    if graded.called:
        return rule.accuracy_weight * graded.correct * rule.penalty
    return rule.direct_penalty if direct_pays and _is_direct_hit(graded) else 0.0


def _parts(graded: Graded, rule: RewardRule, penalty: float) -> RewardParts:
    if graded.judge_failed:
        return RewardParts(accuracy=0.0, format=0.0, penalty=0.0, total=0.0)
    accuracy = rule.accuracy_weight * graded.correct
    form = rule.format_weight * graded.format_ok
    penalty += rule.token_penalty * graded.asked_token_ratio
    return RewardParts(accuracy=accuracy, format=form, penalty=penalty, total=accuracy + form - penalty)
