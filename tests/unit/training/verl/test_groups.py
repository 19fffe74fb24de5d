import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.core.reward import Graded, RewardRule
from visionthink.errors import EngineError
from visionthink.training.verl.groups import Row, rewarded
from visionthink.training.verl.rollout import facts_of

RULE = RewardRule()


def row(group: str, *, correct: float = 1, calls: int = 0, failed: bool = False, needed: bool | None = True) -> Row:
    graded = Graded(correct=correct, format_ok=True, num_tool_calls=calls, judge_failed=failed)
    facts = facts_of(graded, needed) | {
        "asked": float(calls > 0),
        "turns": 1.0 + calls,
        "reply_tokens": 10.0,
        "visual_tokens": 4.0,
        "truncated": 0.0,
    }
    return Row(group=group, facts=facts, error="the judge is away" if failed else "")


def test_rewards_carry_the_penalty_of_the_group() -> None:
    """All answers are direct, so asking costs; the wrong one loses its accuracy."""
    got = rewarded([row("a"), row("a", calls=1), row("a", correct=0)], RULE, group_size=3)
    assert got.rewards == (1.5, 1.4, 0.5) and got.kept == (True,) * 3


@pytest.mark.parametrize(
    ("rows", "size", "count"),
    [
        ([row("a"), row("a")], 2, "group/num_zero_variance"),
        ([row("a"), row("a", correct=0, failed=True)], 2, "group/num_judge_failed"),
        ([row("a"), row("a", correct=0)], 3, "group/num_judge_failed"),  # a rollout is missing
    ],
)
def test_a_dropped_group_gives_no_advantage_and_is_counted(rows: list[Row], size: int, count: str) -> None:
    other = [row("b", needed=False), row("b", correct=0, needed=False)] + [row("b")] * (size - 2)
    got = rewarded([*rows, *other], RULE, group_size=size)
    assert got.rewards[: len(rows)] == (0.0,) * len(rows) and got.kept[: len(rows)] == (False,) * len(rows)
    assert got.metrics[count] == 1 and got.metrics["group/num_kept"] == 1


def test_failed_rollouts_are_in_no_mean() -> None:
    got = rewarded([row("a"), row("a", correct=0, failed=True), row("b", needed=False), row("b")], RULE, group_size=2)
    assert got.metrics["reward/accuracy"] == 1 and got.metrics["group/num_rollouts_failed"] == 1


def test_asking_is_counted_by_label() -> None:
    rows = [row("a", calls=1), row("a"), row("b", needed=False), row("b", needed=False), row("c", needed=None)]
    got = rewarded([*rows, row("c", calls=1, needed=None)], RULE, group_size=2).metrics
    assert got["resize/rate_needed"] == 0.5 and got["resize/rate_not_needed"] == 0 and got["resize/rate"] == 2 / 6


def test_a_label_without_a_graded_rollout_has_no_rate() -> None:
    got = rewarded([row("a"), row("b", needed=False, failed=True, correct=0)], RULE, group_size=1)
    assert "resize/rate_not_needed" not in got.metrics and "resize/rate_needed" in got.metrics


def test_nothing_but_failures_is_an_outage() -> None:
    with pytest.raises(EngineError, match="all 2 rollouts of a step failed, the first because of: the judge is away"):
        rewarded([row("a", correct=0, failed=True)] * 2, RULE, group_size=2)


@given(st.permutations([(group, number) for group in "abcd" for number in range(3)]))
def test_any_half_of_the_order_holds_whole_groups_of_both_labels(done: list[tuple[str, int]]) -> None:
    rows = [row(group, correct=number % 2, needed=group in "ab") for group, number in done]
    got = rewarded(rows, RULE, group_size=3)
    assert sorted(got.order) == list(range(12))
    groups = [rows[place].group for place in got.order]
    for half in (groups[:6], groups[6:]):
        assert sorted(map(half.count, set(half))) == [3, 3]
        assert {group in "ab" for group in half} == {True, False}
