"""What holds of every batch's advantages by turn, and where they are those by episode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.core import Advantages, group_advantages, turn_advantages

Pairs = list[tuple[float, float]]

outcomes = st.floats(-2, 2) | st.sampled_from([0.0, 0.5, 1.0, 1.5])
tools = st.floats(-1, 0) | st.sampled_from([0.0, -0.025, -0.1])
groups = st.lists(st.tuples(outcomes, tools), min_size=1, max_size=16)
batches = st.lists(st.tuples(groups, st.booleans()), max_size=5)
weights = st.floats(0, 3)


def compared(group: Pairs, weight: float, *, failed: bool = False) -> Advantages:
    return turn_advantages([[one for one, _ in group]], [[two for _, two in group]], [failed], tool_weight=weight)


@given(batches, weights)
def test_both_kinds_of_turns_sum_to_zero_and_dropped_groups_are_zero(
    batch: list[tuple[Pairs, bool]], weight: float
) -> None:
    got = turn_advantages(
        [[one for one, _ in group] for group, _ in batch],
        [[two for _, two in group] for group, _ in batch],
        [failed for _, failed in batch],
        tool_weight=weight,
    )
    assert got.num_kept + got.num_zero_variance + got.num_judge_failed == len(batch)
    for (group, failed), values, answers, kept in zip(batch, got.values, got.answers, got.kept, strict=True):
        assert len(values) == len(answers) == len(group)
        assert sum(values) == pytest.approx(0, abs=1e-6) == sum(answers)
        if not kept:
            assert set(values) == set(answers) == {0.0}
        assert not (kept and failed)


@given(groups, weights)
def test_answers_are_compared_by_the_outcome_alone(group: Pairs, weight: float) -> None:
    """As if nobody had paid for anything."""
    got = compared(group, weight)
    assert got.answers == group_advantages([[outcome for outcome, _ in group]], [False]).values


@given(groups, weights)
def test_asking_adds_the_weighted_comparison_of_what_was_paid(group: Pairs, weight: float) -> None:
    got, paid = compared(group, weight), group_advantages([[tool for _, tool in group]], [False])
    added = [value - answer for value, answer in zip(got.values[0], got.answers[0], strict=True)]
    assert added == pytest.approx([weight * value for value in paid.values[0]], abs=1e-9)


@given(groups, weights, st.data())
def test_reordering_the_rollouts_reorders_the_advantages(group: Pairs, weight: float, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(group))))
    plain, moved = compared(group, weight), compared([group[place] for place in order], weight)
    assert moved.kept == plain.kept
    assert moved.values[0] == pytest.approx([plain.values[0][place] for place in order], abs=1e-6)
    assert moved.answers[0] == pytest.approx([plain.answers[0][place] for place in order], abs=1e-6)


@given(st.lists(outcomes, min_size=1, max_size=16), tools, weights)
def test_where_all_paid_the_same_both_are_those_by_episode(group: list[float], paid: float, weight: float) -> None:
    """So it is in a group of direct answers alone, under every rule of the penalty."""
    got = compared([(outcome, paid) for outcome in group], weight)
    assert got == group_advantages([group], [False])
    by_reward = group_advantages([[outcome + paid for outcome in group]], [False])
    if got.kept == by_reward.kept:  # adding may move a spread across its bound
        assert got.values[0] == pytest.approx(by_reward.values[0], abs=1e-5)


@given(st.lists(tools, min_size=1, max_size=16), outcomes)
def test_where_all_answers_are_worth_the_same_asking_is_compared_as_by_episode(
    group: list[float], outcome: float
) -> None:
    got = compared([(outcome, paid) for paid in group], 1.0)
    assert got.values == group_advantages([group], [False]).values
    assert set(got.answers[0]) == {0.0}


@given(groups)
def test_without_a_weight_it_is_the_comparison_of_the_outcome(group: Pairs) -> None:
    assert compared(group, 0.0) == group_advantages([[outcome for outcome, _ in group]], [False])


@given(groups, weights)
def test_a_failed_group_is_dropped_whatever_it_holds(group: Pairs, weight: float) -> None:
    got = compared(group, weight, failed=True)
    assert (got.kept, got.num_judge_failed, got.num_zero_variance) == ((False,), 1, 0)
