"""Only a clear verdict is one."""

import pytest
from tests.fakes.judge_reply import CLEAR, UNCLEAR

from visionthink.judges.verdict import parse_verdict, parse_yes_no


@pytest.mark.parametrize(("reply", "want"), CLEAR.items())
def test_a_clear_score_is_a_verdict(reply: str, want: float) -> None:
    assert parse_verdict(reply) == want


@pytest.mark.parametrize("reply", UNCLEAR)
def test_an_unclear_reply_is_none(reply: str) -> None:
    assert parse_verdict(reply) is None


@pytest.mark.parametrize(
    ("reply", "want"),
    [
        ("[[YES]]", 1.0),
        ("[[NO]]", 0.0),
        ("Both say 47.\n\n[[ yes ]]", 1.0),
        ("<think>[[NO]]? They are the same.</think>[[YES]]", 1.0),
        ("[[YES]] [[YES]]", 1.0),
    ],
)
def test_the_verifier_says_yes_or_no(reply: str, want: float) -> None:
    assert parse_yes_no(reply) == want


@pytest.mark.parametrize("reply", ["", "YES", "[YES]", "[[MAYBE]]", "[[YES]] or [[NO]]", "<think>[[YES]]", "Score: 1"])
def test_a_verifier_that_says_neither_or_both_is_none(reply: str) -> None:
    assert parse_yes_no(reply) is None
