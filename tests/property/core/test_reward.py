"""What holds of every group's rewards: order does not matter, and nothing but the named parts goes in."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.core import Graded, RewardRule, group_rewards

grades = st.builds(
    Graded,
    correct=st.sampled_from([0.0, 0.5, 1.0]),
    format_ok=st.booleans(),
    num_tool_calls=st.integers(0, 3),
    judge_failed=st.booleans(),
    asked_token_ratio=st.sampled_from([0.0, 0.25, 1.0, 3.5]),
)
groups = st.lists(grades, max_size=16)
weights = st.floats(0, 2)
rules = st.builds(
    RewardRule,
    accuracy_weight=st.floats(0.1, 2),
    format_weight=weights,
    penalty=st.floats(0.01, 1),
    direct_penalty=weights,
    theta=st.floats(0, 1),
    rule=st.sampled_from(["paper", "released", "tokens", "none"]),
)


@given(groups, rules, st.data())
def test_reordering_the_rollouts_reorders_the_rewards(
    group: list[Graded], rule: RewardRule, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(group))))
    rewards = group_rewards(group, rule)
    assert group_rewards([group[place] for place in order], rule) == tuple(rewards[place] for place in order)


@given(groups, rules)
def test_total_is_its_parts(group: list[Graded], rule: RewardRule) -> None:
    for graded, parts in zip(group, group_rewards(group, rule), strict=True):
        assert parts.total == pytest.approx(parts.accuracy + parts.format - parts.penalty)
        assert parts.penalty >= 0
        if graded.judge_failed:
            assert parts.total == 0


@given(groups, rules)
def test_rule_none_is_accuracy_plus_format(group: list[Graded], rule: RewardRule) -> None:
    for graded, parts in zip(group, group_rewards(group, replace(rule, rule="none")), strict=True):
        want = (
            0.0
            if graded.judge_failed
            else rule.accuracy_weight * graded.correct + rule.format_weight * graded.format_ok
        )
        assert parts.total == pytest.approx(want)


@given(groups, rules)
def test_paper_charges_one_side_only(group: list[Graded], rule: RewardRule) -> None:
    rule = replace(rule, rule="paper")
    parts = group_rewards(group, rule)
    charged = {graded.called for graded, part in zip(group, parts, strict=True) if part.penalty > 0}
    assert len(charged) <= 1


@given(groups, rules)
def test_released_never_charges_a_wrong_answer(group: list[Graded], rule: RewardRule) -> None:
    parts = group_rewards(group, replace(rule, rule="released"))
    assert all(part.penalty == 0 for graded, part in zip(group, parts, strict=True) if graded.correct == 0)


@given(groups, rules, grades)
def test_failed_rollouts_do_not_move_the_threshold(group: list[Graded], rule: RewardRule, other: Graded) -> None:
    with_failed = group_rewards([*group, replace(other, judge_failed=True)], rule)
    assert with_failed[:-1] == group_rewards(group, rule)


@given(groups, rules, grades, st.floats(0, 9), st.floats(0, 9))
def test_tokens_charge_more_for_more_and_nothing_for_nothing(
    group: list[Graded], rule: RewardRule, probe: Graded, few: float, many: float
) -> None:
    rule = replace(rule, rule="tokens")
    few, many = sorted((few, many))
    none, less, more, full = (
        group_rewards([*group, replace(probe, asked_token_ratio=ratio, judge_failed=False)], rule)[-1].penalty
        for ratio in (0.0, few, many, 1.0)
    )
    assert none == 0 <= less <= more
    assert full == pytest.approx(rule.penalty)


@given(groups, rules)
def test_tokens_charge_each_rollout_for_itself(group: list[Graded], rule: RewardRule) -> None:
    rule = replace(rule, rule="tokens")
    assert group_rewards(group, rule) == tuple(group_rewards([graded], rule)[0] for graded in group)


@given(groups, rules, st.floats(0, 2))
def test_a_token_penalty_takes_its_share_and_nothing_else(
    group: list[Graded], rule: RewardRule, token_penalty: float
) -> None:
    plain, dearer = (group_rewards(group, replace(rule, token_penalty=weight)) for weight in (0.0, token_penalty))
    for graded, before, after in zip(group, plain, dearer, strict=True):
        want = 0.0 if graded.judge_failed else token_penalty * graded.asked_token_ratio
        assert after.penalty - before.penalty == pytest.approx(want)
        assert (after.accuracy, after.format) == (before.accuracy, before.format)
