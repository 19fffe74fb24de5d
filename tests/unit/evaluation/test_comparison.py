"""Pairs of answers, and the perfect choice of the view."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.evaluation.answers import answer

from visionthink.evaluation.answer import Answer
from visionthink.evaluation.comparison import compared, oracle, sign_test


def scored(*scores: float, tokens: int = 4) -> list[Answer]:
    return [replace(answer(str(number), score=score), visual_tokens=tokens) for number, score in enumerate(scores)]


def test_pairs_are_counted_where_the_two_differ() -> None:
    found = compared(scored(1, 1, 0, 1), scored(1, 0, 1, 0))
    assert found is not None
    assert (found.num_samples, found.won, found.lost, found.difference) == (4, 2, 1, 0.25)
    assert found.p_value == 1.0


def test_answers_that_failed_or_that_only_one_has_are_in_no_pair() -> None:
    lost = replace(answer("0"), error="the engine failed")
    found = compared([lost, *scored(0, 1)[1:]], scored(0, 0, 1))
    assert found is not None and (found.num_samples, found.won) == (1, 1)
    assert compared([lost], scored(1)) is None


@pytest.mark.parametrize(
    ("won", "lost", "p"), [(0, 0, 1.0), (5, 0, 2 / 32), (0, 5, 2 / 32), (8, 2, 2 * 56 / 1024), (3, 3, 1.0)]
)
def test_sign_test_by_hand(won: int, lost: int, p: float) -> None:
    assert sign_test(won, lost) == pytest.approx(p)


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_sign_test_is_a_probability_and_knows_no_side(won: int, lost: int) -> None:
    p = sign_test(won, lost)
    assert 0 <= p <= 1 and math.isclose(p, sign_test(lost, won), rel_tol=1e-9)
    assert sign_test(won + lost, 0) <= p + 1e-12, "nothing is less even than to win them all"


def test_oracle_takes_the_quarter_view_where_it_does_as_well() -> None:
    found = oracle(scored(1, 0, 0, tokens=4), scored(1, 1, 0, tokens=16))
    assert found is not None
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.visual_tokens == pytest.approx((4 + 20 + 4) / 3)
    assert oracle([], scored(1)) is None
