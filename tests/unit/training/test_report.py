"""A step's numbers are means over its rollouts, under names that are registered."""

import pytest
from tests.unit.training.written import ASK, prompt, rollout, saying

from visionthink import metrics
from visionthink.core.advantage import Advantages
from visionthink.core.reward import RewardParts
from visionthink.training.local.optimization import UpdateStats
from visionthink.training.local.report import step_metrics
from visionthink.training.local.rollout import Rollout, Rollouts

STATS = UpdateStats(loss=-0.1, kl=0.02, entropy=0.5, clip_ratio=0.01, grad_norm=2.0)


def reward(total: float, penalty: float = 0.0) -> RewardParts:
    return RewardParts(accuracy=total + penalty - 0.5, format=0.5, penalty=penalty, total=total)


ROLLOUTS = (
    rollout(prompt(0, needed=True), [ASK, saying("A")], 1.0, reward=reward(1.4, penalty=0.1), correct=1.0),
    rollout(prompt(0, needed=True), [saying("C")], -1.0, reward=reward(0.5)),
    rollout(prompt(1, needed=False), [saying("red")], 0.0, reward=reward(1.5), correct=1.0),
    rollout(prompt(1, needed=False), ["the shape"], 0.0, reward=reward(0.5), is_cut=True),
)


def report(rollouts: tuple[Rollout, ...] = ROLLOUTS) -> dict[str, float]:
    advantages = Advantages(
        values=((0.7, -0.7), (0.0, 0.0)),
        answers=((0.7, -0.7), (0.0, 0.0)),
        kept=(True, False),
        num_zero_variance=1,
        num_judge_failed=0,
    )
    found = step_metrics(
        Rollouts(rollouts=rollouts, advantages=advantages), STATS, learning_rate=1e-4, rollout_s=2.0, train_s=3.0
    )
    return dict(found)


def test_every_name_is_registered_and_every_training_metric_is_told() -> None:
    found = report()
    for key in found:
        assert key.startswith(metrics.lookup(key).name)
    groups = ("reward/", "resize/", "policy/", "optim/", "group/", "perf/", "look/")
    step_names = {
        metric.name
        for name, metric in vars(metrics).items()
        if isinstance(metric, metrics.Metric) and name.startswith(tuple(group[:-1].upper() + "_" for group in groups))
    }
    # Where no region was shown there is no right one; prompts are replaced by veRL alone.
    assert {metrics.lookup(key).name for key in found} == step_names - {"look/right_ratio", "group/num_replaced"}


def test_the_numbers_of_a_step() -> None:
    want = {
        "reward/mean": (1.4 + 0.5 + 1.5 + 0.5) / 4,
        "reward/std": 0.4763,
        "reward/accuracy": 0.5,
        "reward/format": 1.0,
        "reward/penalty": 0.025,
        "resize/rate": 0.25,
        "resize/rate_needed": 0.5,
        "resize/rate_not_needed": 0.0,
        "policy/kl": 0.02,
        "policy/entropy": 0.5,
        "policy/clip_ratio": 0.01,
        "policy/turns_mean": 1.25,
        "policy/reply_tokens_mean": sum(item.finish.trace.num_reply_tokens for item in ROLLOUTS) / 4,
        "policy/visual_tokens_mean": (4 + 16 + 4 + 4 + 4) / 4,
        "policy/truncated_ratio": 0.25,
        "optim/loss": -0.1,
        "optim/grad_norm": 2.0,
        "optim/learning_rate": 1e-4,
        "group/num_kept": 1,
        "group/num_zero_variance": 1,
        "group/num_judge_failed": 0,
        "group/num_rollouts_failed": 0,
        "perf/step_s": 5.0,
        "perf/rollout_s": 2.0,
        "perf/train_s": 3.0,
        "look/whole_ratio": 1.0,
        "look/visual_tokens_mean/1": 4,
        "look/visual_tokens_mean/2": 16 / 4,
    }
    assert report() == pytest.approx(want, abs=1e-4)


def test_a_rollout_that_was_not_graded_is_counted_and_in_no_mean() -> None:
    """Else an outage of the judge would be drawn as a model that gets worse."""
    failed = rollout(prompt(2, needed=None), [ASK, saying("A")], 0.0, has_failed=True)
    beside, alone = report((*ROLLOUTS, failed, failed)), report()
    assert beside.pop("group/num_rollouts_failed") == 2 and alone.pop("group/num_rollouts_failed") == 0
    assert beside == alone


def test_a_step_without_a_graded_rollout_has_no_means() -> None:
    found = report((rollout(prompt(0), [ASK, saying("A")], 0.0, has_failed=True),))
    assert found["group/num_rollouts_failed"] == 1 and found["optim/loss"] == STATS.loss
    assert [key for key in found if key.startswith(("reward/", "resize/")) or key.endswith("_mean")] == []


def test_a_rate_of_a_label_that_did_not_come_up_is_left_out() -> None:
    found = report(ROLLOUTS[:2])
    assert "resize/rate_needed" in found and "resize/rate_not_needed" not in found
