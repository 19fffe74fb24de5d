"""Promises about a canary's requests."""

from dataclasses import replace
from typing import Any

import pytest

from visionthink.core.slo import Health, SloRule, Traffic, judge_traffic
from visionthink.errors import ConfigError

GOOD = Traffic(num_requests=100, error_ratio=0.0, latency_p95_s=0.4, resize_rate=0.3)
FEW = replace(GOOD, num_requests=49)


@pytest.mark.parametrize(
    ("change", "want", "text"),
    [
        ({}, Health.GOOD, "100 requests"),
        ({"num_requests": 49, "error_ratio": 1.0}, Health.UNKNOWN, "49 requests, 50 needed"),
        ({"error_ratio": 0.011}, Health.BAD, "error ratio 0.0110, at most 0.0100"),
        ({"error_ratio": None}, Health.BAD, "error ratio not measured"),
        ({"latency_p95_s": 0.7}, Health.BAD, "0.7000 s against 0.4000 s"),
        ({"latency_p95_s": None}, Health.BAD, "p95 latency not measured"),
        ({"resize_rate": 0.51}, Health.BAD, "resize rate 0.5100 against 0.3000"),
        ({"resize_rate": None}, Health.GOOD, "100 requests"),
    ],
)
def test_a_promise_is_kept_broken_or_not_told_yet(change: dict[str, Any], want: Health, text: str) -> None:
    verdict = judge_traffic(replace(GOOD, **change), GOOD, SloRule())
    assert verdict.health is want and text in verdict.text


def test_a_stable_version_without_requests_is_nothing_to_compare_with() -> None:
    assert judge_traffic(replace(GOOD, latency_p95_s=9.0, resize_rate=1.0), FEW, SloRule()).health is Health.GOOD
    absolute = SloRule(max_latency_p95_s=1.0)
    assert judge_traffic(replace(GOOD, latency_p95_s=9.0), FEW, absolute).health is Health.BAD


def test_a_rule_that_anything_meets_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        SloRule(min_requests=0)
