"""The gate between two endpoints: every demand, met and not met."""

from dataclasses import replace
from typing import Any

import pytest

from visionthink.core.rollout_gate import AccuracyGain, EndpointFigures, RolloutGate, judge_version
from visionthink.errors import ConfigError

FIGURES = EndpointFigures(
    num_samples=200,
    accuracy=0.9,
    resize_rate=0.33,
    visual_tokens_mean=20.0,
    failed_ratio=0.0,
    latency_p95_s=0.4,
)
GAIN = AccuracyGain(value=0.0, low=-0.02, high=0.02)


def test_a_version_that_is_as_good_passes() -> None:
    decision = judge_version(FIGURES, FIGURES, GAIN, RolloutGate())
    assert decision.promote and len(decision.reasons) == 6


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({"num_samples": 99}, "min_samples"),
        ({"resize_rate": 0.5}, "max_resize_rate_change"),
        ({"resize_rate": 0.1}, "max_resize_rate_change"),
        ({"resize_rate": None}, "max_resize_rate_change"),
        ({"visual_tokens_mean": 24.0}, "max_visual_token_ratio"),
        ({"latency_p95_s": 0.7}, "max_latency_ratio"),
        ({"latency_p95_s": None}, "max_latency_ratio"),
        ({"failed_ratio": 0.02}, "max_failed_ratio"),
    ],
)
def test_each_demand_stops_a_version_by_itself(change: dict[str, Any], want: str) -> None:
    decision = judge_version(replace(FIGURES, **change), FIGURES, GAIN, RolloutGate())
    assert [reason.name for reason in decision.failures] == [want]


@pytest.mark.parametrize(
    ("gain", "passed"),
    [
        (AccuracyGain(value=0.0, low=-0.05, high=0.05), True),
        (AccuracyGain(value=0.01, low=-0.06, high=0.08), False),
        (None, False),
    ],
    ids=["no more than borne", "may be much worse, though it seems better", "nothing to compare"],
)
def test_the_lower_end_of_the_gain_decides(gain: AccuracyGain | None, passed: bool) -> None:
    assert judge_version(FIGURES, FIGURES, gain, RolloutGate()).promote is passed


def test_a_demand_that_is_switched_off_is_not_made() -> None:
    rule = RolloutGate(
        min_accuracy_gain=None,
        max_resize_rate_change=None,
        max_visual_token_ratio=None,
        max_latency_ratio=None,
        max_failed_ratio=None,
    )
    bad = replace(FIGURES, accuracy=0.0, resize_rate=1.0, visual_tokens_mean=99.0, failed_ratio=1.0, latency_p95_s=9.0)
    assert judge_version(bad, FIGURES, None, rule).promote


def test_a_ratio_to_nothing_proves_nothing() -> None:
    other = replace(FIGURES, visual_tokens_mean=0.0)
    assert not judge_version(FIGURES, other, GAIN, RolloutGate()).promote


def test_demands_that_nothing_meets_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        RolloutGate(max_latency_ratio=-1.0)
