"""A training step in numbers, under their registered names."""

from collections.abc import Callable, Mapping, Sequence

from visionthink import metrics as m
from visionthink.core.episode import FinishReason
from visionthink.training.local.optimization import UpdateStats
from visionthink.training.local.rollout import Rollout, Rollouts


def step_metrics(
    rollouts: Rollouts, stats: UpdateStats, *, learning_rate: float, rollout_s: float, train_s: float
) -> Mapping[str, float]:
    """Every number of one step. Resize rates by label are left out when the step had no such prompt."""
    every = rollouts.rollouts
    totals = [item.reward.total for item in every]
    mean = sum(totals) / len(totals)
    values = {
        m.REWARD_MEAN: mean,
        m.REWARD_STD: (sum((total - mean) ** 2 for total in totals) / len(totals)) ** 0.5,
        m.REWARD_ACCURACY: _mean(every, lambda item: item.graded.correct),
        m.REWARD_FORMAT: _mean(every, lambda item: item.graded.format_ok),
        m.REWARD_PENALTY: _mean(every, lambda item: item.reward.penalty),
        m.RESIZE_RATE: _mean(every, _asked),
        m.POLICY_KL: stats.kl,
        m.POLICY_ENTROPY: stats.entropy,
        m.POLICY_CLIP_RATIO: stats.clip_ratio,
        m.POLICY_TURNS_MEAN: _mean(every, lambda item: len(item.finish.trace.turns)),
        m.POLICY_REPLY_TOKENS_MEAN: _mean(every, lambda item: item.finish.trace.num_reply_tokens),
        m.POLICY_VISUAL_TOKENS_MEAN: _mean(every, lambda item: item.finish.trace.visual_tokens),
        m.POLICY_TRUNCATED_RATIO: _mean(every, _is_truncated),
        m.OPTIM_LOSS: stats.loss,
        m.OPTIM_GRAD_NORM: stats.grad_norm,
        m.OPTIM_LEARNING_RATE: learning_rate,
        m.GROUP_NUM_KEPT: rollouts.advantages.num_kept,
        m.GROUP_NUM_ZERO_VARIANCE: rollouts.advantages.num_zero_variance,
        m.GROUP_NUM_JUDGE_FAILED: rollouts.advantages.num_judge_failed + rollouts.num_lost,
        m.PERF_STEP_S: rollout_s + train_s,
        m.PERF_ROLLOUT_S: rollout_s,
        m.PERF_TRAIN_S: train_s,
    }
    for metric, label in ((m.RESIZE_RATE_NEEDED, True), (m.RESIZE_RATE_NOT_NEEDED, False)):
        group = [item for item in every if item.prompt.needed is label]
        if group:
            values[metric] = _mean(group, _asked)
    return {metric.key(): float(value) for metric, value in values.items()}


def _mean(rollouts: Sequence[Rollout], value: Callable[[Rollout], float]) -> float:
    return sum(value(item) for item in rollouts) / len(rollouts)


def _asked(rollout: Rollout) -> float:
    return rollout.finish.trace.asked


def _is_truncated(rollout: Rollout) -> float:
    turns = rollout.finish.trace.turns
    return bool(turns) and turns[-1].reply.finish_reason is FinishReason.LENGTH
