"""Rewards: the outcome tables of both penalty rules, row by row, and the threshold between their columns."""

from dataclasses import replace

import pytest
from tests.fakes.replied import ORIGINAL, RULE

from visionthink.core import (
    Graded,
    PenaltyRule,
    RewardRule,
    Trace,
    View,
    asked_token_ratio,
    direct_ratio,
    full_view,
    group_advantages,
    group_rewards,
    quarter_view,
)
from visionthink.errors import ConfigError, DataError

PAPER = RewardRule(rule="paper")
RELEASED = RewardRule(rule="released")
NONE = RewardRule(rule="none")
TOKENS = RewardRule(rule="tokens")

DIRECT_RIGHT = Graded(correct=1, format_ok=True, num_tool_calls=0)
TOOL_RIGHT = Graded(correct=1, format_ok=True, num_tool_calls=1)
DIRECT_WRONG = replace(DIRECT_RIGHT, correct=0)
TOOL_WRONG = replace(TOOL_RIGHT, correct=0)


def _unformatted(graded: Graded) -> Graded:
    return replace(graded, format_ok=False)


def _group(num_direct_right: int, num_tool_right: int, size: int = 16) -> list[Graded]:
    """The rollouts that decide the share of direct answers; the rest are wrong and untidy, so they weigh nothing."""
    rest = [_unformatted(DIRECT_WRONG)] * (size - num_direct_right - num_tool_right)
    return [DIRECT_RIGHT] * num_direct_right + [TOOL_RIGHT] * num_tool_right + rest


# One group a column: what share of its correct answers is direct. A probe of the row's kind is put in by replacement
# of a rollout of the same kind or a wrong one, so that the share stays on its side of theta = 0.2.
COLUMNS = {
    "r = 0": _group(0, 8),
    "0 < r < theta": _group(1, 8),
    "r >= theta": _group(4, 4),
    "r = 1": _group(8, 0),
}


def _total(probe: Graded, column: str, rule: RewardRule) -> float:
    """Total reward of the first rollout of ``probe``'s kind in a group of that column."""
    group = COLUMNS[column]
    if probe in group:
        return group_rewards(group, rule)[group.index(probe)].total
    return group_rewards([*group[:-1], probe], rule)[-1].total


@pytest.mark.parametrize(
    ("column", "want"), [("r >= theta", 1.5), ("r = 1", 1.5), ("0 < r < theta", 1.4)], ids=lambda value: str(value)
)
def test_released_direct_correct_formatted(column: str, want: float) -> None:
    assert _total(DIRECT_RIGHT, column, RELEASED) == pytest.approx(want)


@pytest.mark.parametrize("column", ["r = 0", "0 < r < theta", "r >= theta"])
def test_released_tool_correct_formatted(column: str) -> None:
    assert _total(TOOL_RIGHT, column, RELEASED) == pytest.approx(1.4)


@pytest.mark.parametrize("probe", [DIRECT_WRONG, TOOL_WRONG], ids=["direct", "tool"])
@pytest.mark.parametrize("column", COLUMNS)
def test_released_wrong_formatted(probe: Graded, column: str) -> None:
    assert _total(probe, column, RELEASED) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("probe", "group", "want"),
    [
        (_unformatted(DIRECT_RIGHT), _group(3, 4), 1.0),
        (_unformatted(TOOL_RIGHT), _group(4, 3), 0.9),
        (_unformatted(DIRECT_RIGHT), _group(0, 8), 0.9),
        (_unformatted(TOOL_RIGHT), _group(1, 7), 0.9),
        (_unformatted(TOOL_RIGHT), _group(0, 7), 0.9),
    ],
    ids=["direct, r >= theta", "tool, r >= theta", "direct, 0 < r < theta", "tool, 0 < r < theta", "tool, r = 0"],
)
def test_released_correct_unformatted(probe: Graded, group: list[Graded], want: float) -> None:
    assert group_rewards([*group[:-1], probe], RELEASED)[-1].total == pytest.approx(want)


@pytest.mark.parametrize("probe", [_unformatted(DIRECT_WRONG), _unformatted(TOOL_WRONG)], ids=["direct", "tool"])
@pytest.mark.parametrize("column", COLUMNS)
def test_released_wrong_unformatted(probe: Graded, column: str) -> None:
    assert _total(probe, column, RELEASED) == 0


@pytest.mark.parametrize("rule", [PAPER, RELEASED, NONE], ids=lambda rule: rule.rule)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_failed_judge_earns_nothing_and_drops_the_group(rule: RewardRule, column: str) -> None:
    group = [*COLUMNS[column][:-1], replace(TOOL_RIGHT, judge_failed=True)]
    rewards = group_rewards(group, rule)
    assert rewards[-1].total == 0
    dropped = group_advantages([[part.total for part in rewards]], [any(graded.judge_failed for graded in group)])
    assert (dropped.kept, dropped.num_judge_failed) == ((False,), 1)


@pytest.mark.parametrize("rule", [PAPER, RELEASED], ids=lambda rule: rule.rule)
def test_a_failed_judge_does_not_move_the_threshold(rule: RewardRule) -> None:
    group = _group(1, 3)  # One direct of four is above theta; of eight it would be below.
    failed = [replace(TOOL_RIGHT, judge_failed=True)] * 4
    assert group_rewards([*group[:-4], *failed], rule)[0].total == pytest.approx(1.5)


PAPER_ROWS = {
    # probe: total below theta, total from theta on
    "direct, correct, formatted": (DIRECT_RIGHT, 1.4, 1.5),
    "tool, correct, formatted": (TOOL_RIGHT, 1.5, 1.4),
    "direct, wrong, formatted": (DIRECT_WRONG, 0.4, 0.5),
    "tool, wrong, formatted": (TOOL_WRONG, 0.5, 0.4),
    "direct, wrong, unformatted": (_unformatted(DIRECT_WRONG), -0.1, 0.0),
    "tool, wrong, unformatted": (_unformatted(TOOL_WRONG), 0.0, -0.1),
}


@pytest.mark.parametrize("row", PAPER_ROWS)
@pytest.mark.parametrize(("column", "is_below"), [("0 < r < theta", True), ("r >= theta", False)])
def test_paper_charges_whoever_takes_the_crowded_way(row: str, column: str, is_below: bool) -> None:
    probe, below, above = PAPER_ROWS[row]
    assert _total(probe, column, PAPER) == pytest.approx(below if is_below else above)


@pytest.mark.parametrize(
    ("probe", "want"), [(DIRECT_WRONG, 0.4), (TOOL_WRONG, 0.5)], ids=["direct pays", "tool does not"]
)
def test_paper_pushes_a_group_that_solves_nothing_to_look_closer(probe: Graded, want: float) -> None:
    assert group_rewards([DIRECT_WRONG, TOOL_WRONG, probe], PAPER)[-1].total == pytest.approx(want)


def test_paper_charges_direct_answers_when_none_of_them_is_correct() -> None:
    assert _total(DIRECT_WRONG, "r = 0", PAPER) == pytest.approx(0.4)
    assert _total(TOOL_RIGHT, "r = 0", PAPER) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("num_direct", "num_correct", "is_masked"),
    [
        (1, 6, True),
        (2, 11, True),
        (3, 16, True),
        (1, 4, False),
        (2, 9, False),
        (3, 14, False),
        (4, 16, False),
        (0, 16, False),
        # Exactly 0.2 but for the released epsilon, which pushes the share just below.
        (1, 5, True),
        (2, 10, True),
        (3, 15, True),
    ],
)
def test_released_threshold_of_16_rollouts(num_direct: int, num_correct: int, is_masked: bool) -> None:
    totals = [part.total for part in group_rewards(_group(num_direct, num_correct - num_direct), RELEASED)]
    assert totals[:num_direct] == pytest.approx([1.4 if is_masked else 1.5] * num_direct)


@pytest.mark.parametrize(("num_direct", "num_correct"), [(1, 5), (2, 10), (3, 15)])
def test_paper_threshold_is_not_below_itself(num_direct: int, num_correct: int) -> None:
    parts = group_rewards(_group(num_direct, num_correct - num_direct), PAPER)
    assert parts[0].total == pytest.approx(1.5)


def test_released_group_of_only_hits_below_the_threshold_teaches_nothing() -> None:
    rewards = group_rewards(_group(2, 14), RELEASED)
    assert group_advantages([[part.total for part in rewards]], [False]).num_zero_variance == 1


@pytest.mark.parametrize(("rule", "want"), [("paper", 1.4), ("released", 1.4), ("none", 1.5)])
def test_theta_zero_always_charges_the_tool(rule: PenaltyRule, want: float) -> None:
    parts = group_rewards(_group(0, 16), RewardRule(rule=rule, theta=0))
    assert parts[0].total == pytest.approx(want)


def test_weights_come_from_the_rule() -> None:
    rule = RewardRule(accuracy_weight=2, format_weight=0.25, penalty=0.3, direct_penalty=0.7, rule="released")
    direct, tool, *_ = group_rewards([DIRECT_RIGHT, *[TOOL_RIGHT] * 8], rule)
    assert (direct.accuracy, direct.format, direct.penalty) == pytest.approx((2, 0.25, 0.7))
    assert (tool.accuracy, tool.format, tool.penalty) == pytest.approx((2, 0.25, 0.6))  # A share of the accuracy.


def test_theta_moves_the_threshold() -> None:
    group = _group(4, 4)
    assert group_rewards(group, RewardRule(theta=0.6))[0].total == pytest.approx(1.4)
    assert group_rewards(group, RewardRule(theta=0.5))[0].total == pytest.approx(1.5)


def test_released_partial_credit_is_no_direct_hit() -> None:
    half = replace(DIRECT_RIGHT, correct=0.5)
    parts = group_rewards([half, DIRECT_RIGHT, *[TOOL_RIGHT] * 8], RELEASED)
    assert [part.penalty for part in parts[:2]] == pytest.approx([0, 0.1])


def test_direct_ratio_ignores_wrong_answers() -> None:
    assert direct_ratio([DIRECT_RIGHT, TOOL_RIGHT, TOOL_RIGHT, TOOL_RIGHT, DIRECT_WRONG]) == 0.25
    assert direct_ratio([DIRECT_WRONG]) == direct_ratio([]) == 0


@pytest.mark.parametrize("is_correct", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize(
    ("ratio", "num_tool_calls", "want"),
    [(0.0, 0, 0.0), (0.0, 2, 0.0), (0.25, 1, 0.025), (1.0, 1, 0.1), (1.25, 2, 0.125), (5.0, 5, 0.5)],
    ids=[
        "direct",
        "tried in vain",
        "a quarter of it",
        "the full view once",
        "a region and the full view",
        "five times",
    ],
)
@pytest.mark.parametrize("column", COLUMNS)
def test_tokens_charge_for_what_was_shown(
    ratio: float, num_tool_calls: int, want: float, is_correct: bool, column: str
) -> None:
    probe = Graded(correct=is_correct, format_ok=True, num_tool_calls=num_tool_calls, asked_token_ratio=ratio)
    assert _total(probe, column, TOKENS) == pytest.approx(0.5 + is_correct - want)


@pytest.mark.parametrize(
    ("rule", "want"),
    [("paper", 1.5 - 0.1 - 0.15), ("released", 1.5 - 0.1 - 0.15), ("tokens", 1.5 - 0.05 - 0.15), ("none", 1.5 - 0.15)],
)
def test_a_token_penalty_comes_on_top_of_every_rule(rule: PenaltyRule, want: float) -> None:
    probe = replace(TOOL_RIGHT, asked_token_ratio=0.5)
    assert _total(probe, "r >= theta", RewardRule(rule=rule, token_penalty=0.3)) == pytest.approx(want)


def test_a_failed_judge_is_charged_no_tokens() -> None:
    failed = replace(TOOL_RIGHT, asked_token_ratio=1.0, judge_failed=True)
    assert group_rewards([failed], replace(TOKENS, token_penalty=1.0))[0].total == 0


def _looked_at(*views: View) -> Trace:
    return Trace(turns=(), views=views, messages=())


def test_asked_tokens_are_counted_in_full_views() -> None:
    first, full = quarter_view(ORIGINAL, RULE), full_view(ORIGINAL, RULE)
    ratios = [
        asked_token_ratio(_looked_at(*views), ORIGINAL, RULE)
        for views in ((), (first,), (first, full), (first, full, first))
    ]
    assert ratios == [0.0, 0.0, 1.0, (999 + 252) / 999]


@pytest.mark.parametrize("rule", [PAPER, RELEASED, TOKENS, NONE], ids=lambda rule: rule.rule)
def test_an_empty_group_earns_nothing(rule: RewardRule) -> None:
    assert group_rewards([], rule) == ()


@pytest.mark.parametrize(
    ("rule", "want"),
    [
        ({"accuracy_weight": 0}, "accuracy_weight must be positive"),
        ({"format_weight": -0.5}, "the other weights at least 0"),
        ({"token_penalty": -0.1}, "the other weights at least 0"),
        ({"accuracy_weight": float("inf")}, "all finite"),
        ({"penalty": float("inf")}, "all finite"),
        ({"penalty": float("nan")}, "the other weights at least 0"),
        ({"theta": 1.1}, "theta is a share from 0 to 1, got 1.1"),
    ],
)
def test_a_rule_that_turns_the_reward_around_is_refused(rule: dict[str, float], want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        replace(PAPER, **rule)  # type: ignore[arg-type]


@pytest.mark.parametrize("penalty", [0.0, 1.5])
def test_the_released_rule_needs_a_penalty_that_is_a_share(penalty: float) -> None:
    with pytest.raises(ConfigError, match="released rule needs a penalty above 0 and at most 1"):
        replace(RELEASED, penalty=penalty)


@pytest.mark.parametrize(("correct", "num_tool_calls"), [(1.5, 0), (-0.1, 0), (float("nan"), 0), (1, -1)])
def test_an_impossible_grade_is_refused(correct: float, num_tool_calls: int) -> None:
    with pytest.raises(DataError, match="a judge gives 0 to 1"):
        Graded(correct=correct, format_ok=True, num_tool_calls=num_tool_calls)


@pytest.mark.parametrize("ratio", [-0.1, float("nan"), float("inf")])
def test_an_impossible_share_of_tokens_is_refused(ratio: float) -> None:
    with pytest.raises(DataError, match="cannot have asked for"):
        Graded(correct=1, format_ok=True, num_tool_calls=1, asked_token_ratio=ratio)
