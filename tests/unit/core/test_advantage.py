"""Advantages: what is dropped and counted, and what refuses to be trained on."""

import pytest

from visionthink.core import (
    FinishReason,
    ModelReply,
    Signal,
    Trace,
    TurnTrace,
    by_turn,
    group_advantages,
    turn_advantages,
)
from visionthink.errors import DataError


def test_advantage_is_the_distance_from_the_mean_in_unbiased_deviations() -> None:
    got = group_advantages([[1.5, 0.5, 0.5, 0.5]], [False])
    assert got.values[0] == pytest.approx((1.5, -0.5, -0.5, -0.5), abs=1e-5)  # Mean 0.75, deviation 0.5.
    assert got.kept == (True,)


def test_without_normalising_it_is_the_distance_alone() -> None:
    assert group_advantages([[1.5, 0.5]], [False], normalise=False).values == ((0.5, -0.5),)


def test_dropped_groups_are_counted_by_their_reason() -> None:
    got = group_advantages([[1, 0], [1, 1], [1, 0], [1, 1], [1]], [False, False, True, True, False])
    assert got.kept == (True, False, False, False, False)
    assert (got.num_kept, got.num_zero_variance, got.num_judge_failed) == (1, 2, 2)
    assert got.values[1:] == ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0,))


def test_min_std_is_the_border_of_equal_rewards() -> None:
    nearly_equal = [[1.0, 1.0001]]  # A deviation of 7e-5.
    assert group_advantages(nearly_equal, [False]).kept == (False,)
    assert group_advantages(nearly_equal, [False], min_std=1e-5).kept == (True,)


def test_no_groups_are_no_advantages() -> None:
    assert group_advantages([], []).values == ()


@pytest.mark.parametrize("group", [[], [1.0, float("nan")], [float("inf"), 0.0]], ids=["empty", "nan", "infinite"])
def test_a_group_that_cannot_be_compared_is_refused(group: list[float]) -> None:
    with pytest.raises(DataError, match="group 1 of rewards is empty or not finite"):
        group_advantages([[1, 0], group], [False, False])


def test_a_failed_group_is_dropped_whatever_it_holds() -> None:
    assert group_advantages([[], [float("nan"), 1.0]], [True, True]).num_judge_failed == 2


def test_every_group_needs_its_mark() -> None:
    with pytest.raises(DataError, match="2 groups of rewards but 1 failed marks"):
        group_advantages([[1], [0]], [False])


def test_by_turn_outcome_and_tool_are_divided_by_their_own_spreads() -> None:
    got = turn_advantages([[1.5, 0.5, 0.5, 0.5]], [[-0.1, -0.1, 0.0, 0.0]], [False], tool_weight=0.5)
    outcome, tool = (1.5, -0.5, -0.5, -0.5), 0.75**0.5  # .05 from the mean, in deviations of .1 / 3**.5
    assert got.answers[0] == pytest.approx(outcome, abs=1e-4)
    signs = (-1, -1, 1, 1)
    want = [one + 0.5 * sign * tool for one, sign in zip(outcome, signs, strict=True)]
    assert got.values[0] == pytest.approx(want, abs=1e-4)


def test_by_turn_a_group_is_kept_for_either_difference() -> None:
    outcomes = [[1, 0], [1, 1], [1, 1], [1, 0]]
    tools = [[0.0, 0.0], [-0.1, 0.0], [0.0, 0.0], [-0.1, 0.0]]
    got = turn_advantages(outcomes, tools, [False, False, False, True])
    assert got.kept == (True, True, False, False)
    assert (got.num_kept, got.num_zero_variance, got.num_judge_failed) == (2, 1, 1)
    assert turn_advantages(outcomes, tools, [False] * 4, tool_weight=0).kept == (True, False, False, True)


def test_by_turn_the_larger_eps_quietens_the_smaller_spread_more() -> None:
    got = turn_advantages([[1.0, 0.0]], [[0.0, -0.1]], [False], tool_weight=1.0, eps=0.1)
    assert got.answers[0][0] == pytest.approx(0.5 / (0.5**0.5 + 0.1))
    assert got.values[0][0] - got.answers[0][0] == pytest.approx(0.05 / (0.005**0.5 + 0.1))


def test_by_turn_every_rollout_needs_both_rewards() -> None:
    with pytest.raises(DataError, match="different shapes"):
        turn_advantages([[1, 0]], [[0]], [False])


REPLY = ModelReply(text="", finish_reason=FinishReason.STOP)


@pytest.mark.parametrize(
    ("signals", "is_forced", "want"),
    [
        ([Signal.ANSWER], False, "v"),
        ([Signal.CALL], False, "v"),
        ([Signal.CALL, Signal.ANSWER], False, "va"),
        ([Signal.BAD_CALL, Signal.UNTAGGED], False, "va"),
        ([Signal.CALL, Signal.CALL, Signal.ANSWER], True, "vva"),
        ([Signal.CALL, Signal.CALL, Signal.CALL], True, "vva"),
        ([Signal.CALL, Signal.CALL], False, "vv"),
        ([Signal.CALL, Signal.BAD_CALL, Signal.ANSWER], False, "vva"),
        ([Signal.CALL, Signal.TRUNCATED], False, "va"),
        ([], False, ""),
    ],
    ids=[
        "a direct answer",
        "a view that does not fit",
        "an answer after a look",
        "an answer after a bad call",
        "a demanded answer",
        "a call instead of it",
        "a second view that does not fit",
        "an answer after a second call that is bad",
        "cut off after a look",
        "no reply",
    ],
)
def test_a_turn_only_answers_if_it_comes_after_a_call_and_is_none(
    signals: list[Signal], is_forced: bool, want: str
) -> None:
    turns = tuple(
        TurnTrace(turn=turn, forced=is_forced and turn == len(signals), signal=signal, reply=REPLY)
        for turn, signal in enumerate(signals, start=1)
    )
    got = by_turn(Trace(turns=turns, views=(), messages=()), 1.0, 2.0)
    assert "".join({1.0: "v", 2.0: "a"}[value] for value in got) == want
