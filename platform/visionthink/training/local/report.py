"""A training step in numbers, under their registered names.

Rule: a mean is over the rollouts that were graded. One that the engine or the judge failed on says nothing about the
model, so it is counted and takes no part; the mean of nothing is left out.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from visionthink import metrics as m
from visionthink.core.episode import FinishReason
from visionthink.training.local.optimization import UpdateStats
from visionthink.training.local.rollout import Rollout, Rollouts


def step_metrics(
    rollouts: Rollouts, stats: UpdateStats, *, learning_rate: float, rollout_s: float, train_s: float
) -> Mapping[str, float]:
    """Every number of one step; without those of a label that no graded rollout of the step has."""
    graded = [item for item in rollouts.rollouts if not item.graded.judge_failed]
    values = {
        m.POLICY_KL: stats.kl,
        m.POLICY_ENTROPY: stats.entropy,
        m.POLICY_CLIP_RATIO: stats.clip_ratio,
        m.OPTIM_LOSS: stats.loss,
        m.OPTIM_GRAD_NORM: stats.grad_norm,
        m.OPTIM_LEARNING_RATE: learning_rate,
        m.GROUP_NUM_KEPT: rollouts.advantages.num_kept,
        m.GROUP_NUM_ZERO_VARIANCE: rollouts.advantages.num_zero_variance,
        m.GROUP_NUM_JUDGE_FAILED: rollouts.advantages.num_judge_failed + rollouts.num_lost,
        m.GROUP_NUM_ROLLOUTS_FAILED: len(rollouts.rollouts) - len(graded),
        m.PERF_STEP_S: rollout_s + train_s,
        m.PERF_ROLLOUT_S: rollout_s,
        m.PERF_TRAIN_S: train_s,
    }
    if graded:
        values |= _means(graded)
    for metric, label in ((m.RESIZE_RATE_NEEDED, True), (m.RESIZE_RATE_NOT_NEEDED, False)):
        if group := [item for item in graded if item.prompt.needed is label]:
            values[metric] = _mean(group, _asked)
    return {metric.key(): float(value) for metric, value in values.items()} | look_metrics(graded)


def look_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Where the graded rollouts looked, and what each of their turns was shown."""
    asked = [item for item in rollouts if item.finish.trace.asked]
    needed = [item for item in asked if item.prompt.needed]
    right = [item.finish.trace.asked_right(item.prompt.sample.region) for item in needed]
    told = [value for value in right if value is not None]
    figures = {m.LOOK_WHOLE_RATIO.key(): _mean(asked, _asked_whole)} if asked else {}
    if told:
        figures[m.LOOK_RIGHT_RATIO.key()] = sum(told) / len(told)
    most = max((len(item.finish.trace.views) for item in rollouts), default=0)
    for place in range(most):
        figures[m.LOOK_VISUAL_TOKENS_MEAN.key(view=str(place + 1))] = _mean(rollouts, partial(_tokens_of, place))
    return figures


def _means(rollouts: Sequence[Rollout]) -> dict[m.Metric, float]:
    mean = _mean(rollouts, lambda item: item.reward.total)
    return {
        m.REWARD_MEAN: mean,
        m.REWARD_STD: _mean(rollouts, lambda item: (item.reward.total - mean) ** 2) ** 0.5,
        m.REWARD_ACCURACY: _mean(rollouts, lambda item: item.graded.correct),
        m.REWARD_FORMAT: _mean(rollouts, lambda item: item.graded.format_ok),
        m.REWARD_PENALTY: _mean(rollouts, lambda item: item.reward.penalty),
        m.RESIZE_RATE: _mean(rollouts, _asked),
        m.POLICY_TURNS_MEAN: _mean(rollouts, lambda item: len(item.finish.trace.turns)),
        m.POLICY_REPLY_TOKENS_MEAN: _mean(rollouts, lambda item: item.finish.trace.num_reply_tokens),
        m.POLICY_VISUAL_TOKENS_MEAN: _mean(rollouts, lambda item: item.finish.trace.visual_tokens),
        m.POLICY_TRUNCATED_RATIO: _mean(rollouts, _is_truncated),
    }


def _mean(rollouts: Sequence[Rollout], value: Callable[[Rollout], float]) -> float:
    return sum(value(item) for item in rollouts) / len(rollouts)


def _asked_whole(rollout: Rollout) -> float:
    return rollout.finish.trace.asked_whole


def _tokens_of(place: int, rollout: Rollout) -> float:
    views = rollout.finish.trace.views
    return views[place].visual_tokens if place < len(views) else 0


def _asked(rollout: Rollout) -> float:
    return rollout.finish.trace.asked


def _is_truncated(rollout: Rollout) -> float:
    turns = rollout.finish.trace.turns
    return bool(turns) and turns[-1].reply.finish_reason is FinishReason.LENGTH
