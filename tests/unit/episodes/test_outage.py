"""How many failures are one sample's bad luck, and from when on something is out of order."""

import pytest

from visionthink.episodes.outage import FailureRule, FailureWatch
from visionthink.errors import ConfigError

RULE = FailureRule(max_in_a_row=4, max_ratio=0.5, num_recent=8)


def told(ends: str, rule: FailureRule = RULE) -> str | None:
    """What the last failure of `ends` ("+" success, "-" failure) is taken for."""
    watch, found = FailureWatch(rule), None
    for end in ends:
        if end == "+":
            watch.succeeded()
        else:
            found = watch.failed()
    return found


@pytest.mark.parametrize(
    ("ends", "want"),
    [
        ("---", None),
        ("----", "4 in a row failed"),
        ("---+---", None),
        ("+" * 100 + "---", None),
        ("+" * 100 + "----", "4 in a row failed"),
        ("-+-+-+-", None),
        ("-+-+-+-+", None),
        ("--+--+--", "6 of the last 8 failed"),
        ("--+--+-+" + "+" * 8 + "-", None),
    ],
)
def test_failures_in_a_row_or_among_the_last_are_an_outage(ends: str, want: str | None) -> None:
    assert told(ends) == want


def test_a_watch_knows_whether_anything_ever_came_off() -> None:
    watch = FailureWatch(RULE)
    watch.failed()
    assert not watch.has_succeeded
    watch.succeeded()
    watch.failed()
    assert watch.has_succeeded
    assert FailureWatch(RULE, has_succeeded=True).has_succeeded


@pytest.mark.parametrize("wrong", [{"max_tries": 0}, {"max_in_a_row": 0}, {"num_recent": 0}, {"max_ratio": 0.0}])
def test_a_rule_that_stops_at_nothing_or_everything_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        FailureRule(**wrong)  # type: ignore[arg-type]
