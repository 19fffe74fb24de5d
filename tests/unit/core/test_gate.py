"""The gate: every demand is judged on its own, with its figures, and nothing unmeasured passes."""

import json
from dataclasses import replace

import pytest

from visionthink.core import Decision, Figures, GateRule, Unmeasured, decide_promotion
from visionthink.errors import ConfigError, DataError

FULL_VIEW = Figures(num_samples=600, accuracy=0.98, visual_tokens_mean=16)
BASE = Figures(num_samples=600, accuracy=0.80, visual_tokens_mean=12, latency_p95_s=0.4)
INCUMBENT = Figures(num_samples=600, accuracy=0.96, visual_tokens_mean=9.4, latency_p95_s=0.4)
GOOD = Figures(
    num_samples=600,
    accuracy=0.97,
    visual_tokens_mean=9.3,
    resize_ratio_needed=0.99,
    resize_ratio_not_needed=0.01,
    failed_ratio=0.0,
    latency_p95_s=0.3,
)
RULE = GateRule(max_latency_ratio=1.0)
DEMANDS = {
    "min_samples",
    "min_accuracy_ratio",
    "min_accuracy_gain",
    "min_incumbent_gain",
    "max_visual_token_ratio",
    "max_latency_ratio",
    "min_resize_ratio_needed",
    "max_resize_ratio_not_needed",
    "max_failed_ratio",
}


def _decided(candidate: Figures, rule: GateRule = RULE, incumbent: Figures | Unmeasured | None = INCUMBENT) -> Decision:
    return decide_promotion(candidate, full_view=FULL_VIEW, base=BASE, incumbent=incumbent, rule=rule)


def test_a_good_candidate_is_promoted_for_every_reason() -> None:
    decision = _decided(GOOD)
    assert decision.promote
    assert decision.failures == ()
    assert {reason.name for reason in decision.reasons} == DEMANDS


@pytest.mark.parametrize(
    ("flaw", "want"),
    [
        ({"num_samples": 99}, "FAIL min_samples: 99 samples, at least 100 wanted"),
        (
            {"num_samples": 0},
            "FAIL min_samples: 0 samples, at least 100 wanted",
        ),
        (
            {"visual_tokens_mean": 10.0},
            "FAIL max_visual_token_ratio: 10.0 visual tokens against 16.0 of the full view: "
            "0.6250, at most 0.6200 wanted",
        ),
        (
            {"latency_p95_s": 0.5},
            "FAIL max_latency_ratio: p95 latency 0.5000 s against 0.4000 s of the model that it would replace: "
            "1.2500, at most 1.0000 wanted",
        ),
        (
            {"latency_p95_s": None},
            "FAIL max_latency_ratio: p95 latency not measured s against 0.4000 s of the model that it would replace: "
            "not measured, at most 1.0000 wanted",
        ),
        (
            {"resize_ratio_needed": 0.94},
            "FAIL min_resize_ratio_needed: share of asks where the full resolution is needed: "
            "0.9400, at least 0.9500 wanted",
        ),
        (
            {"resize_ratio_not_needed": 0.06},
            "FAIL max_resize_ratio_not_needed: share of asks where the quarter view is enough: "
            "0.0600, at most 0.0500 wanted",
        ),
        (
            {"resize_ratio_not_needed": None},
            "FAIL max_resize_ratio_not_needed: share of asks where the quarter view is enough: "
            "not measured, at most 0.0500 wanted",
        ),
        (
            {"failed_ratio": 0.02},
            "FAIL max_failed_ratio: share of episodes without anything to grade: 0.0200, at most 0.0100 wanted",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_one_flaw_is_enough_to_stay_and_is_named_with_its_figures(flaw: dict[str, float | None], want: str) -> None:
    decision = _decided(replace(GOOD, **flaw))  # type: ignore[arg-type]
    assert not decision.promote
    assert [str(reason) for reason in decision.failures] == [want]
    assert {reason.name for reason in decision.reasons} == DEMANDS


LENIENT = GateRule(min_accuracy_ratio=None)


def test_a_share_of_the_full_views_accuracy_is_demanded() -> None:
    want = "FAIL min_accuracy_ratio: accuracy 0.9400 against 0.9800 of the full view: 0.9592, at least 0.9700 wanted"
    assert [str(reason) for reason in _decided(replace(GOOD, accuracy=0.94), incumbent=None).failures] == [want]


def test_the_base_model_must_be_beaten_not_met() -> None:
    decision = _decided(replace(GOOD, accuracy=0.80), LENIENT, incumbent=None)
    want = "FAIL min_accuracy_gain: accuracy 0.8000 against 0.8000 of the base model: +0.0000, more than +0.0000 wanted"
    assert [str(reason) for reason in decision.failures] == [want]


def test_a_better_model_in_use_stays_in_use() -> None:
    """B5: champion .99, candidate .90, base .85."""
    champion, base = replace(INCUMBENT, accuracy=0.99), replace(BASE, accuracy=0.85)
    candidate = replace(GOOD, accuracy=0.90)
    decision = decide_promotion(candidate, full_view=FULL_VIEW, base=base, incumbent=champion, rule=LENIENT)
    want = "FAIL min_incumbent_gain: accuracy 0.9000 against 0.9900 of the incumbent: -0.0900, at least +0.0000 wanted"
    assert [str(reason) for reason in decision.failures] == [want]


def test_a_model_as_good_as_the_one_in_use_may_replace_it() -> None:
    assert _decided(replace(GOOD, accuracy=INCUMBENT.accuracy), LENIENT).promote


def test_before_the_first_promotion_nothing_is_in_use() -> None:
    decision = _decided(GOOD, incumbent=None)
    assert decision.promote
    assert {reason.name for reason in decision.reasons} == DEMANDS - {"min_incumbent_gain"}


def test_a_model_in_use_that_was_not_measured_keeps_its_place() -> None:
    decision = _decided(GOOD, GateRule(), Unmeasured(reason="the registry is away"))
    want = "FAIL min_incumbent_gain: the incumbent was not measured: the registry is away"
    assert [str(reason) for reason in decision.failures] == [want]


def test_a_negative_gain_tolerates_a_loss() -> None:
    rule = GateRule(min_accuracy_ratio=None, min_accuracy_gain=-0.01, min_incumbent_gain=-0.2)
    assert _decided(replace(GOOD, accuracy=0.795), rule).promote
    assert not _decided(replace(GOOD, accuracy=0.785), rule).promote
    assert not _decided(replace(GOOD, accuracy=0.795), replace(rule, min_incumbent_gain=-0.1)).promote


def test_bounds_themselves_pass() -> None:
    rule = GateRule(max_visual_token_ratio=9.3 / 16, min_accuracy_ratio=0.97 / 0.98, min_samples=600)
    edge = replace(GOOD, resize_ratio_needed=0.95, resize_ratio_not_needed=0.05, failed_ratio=0.01)
    assert _decided(edge, rule).promote


def test_demands_can_be_switched_off() -> None:
    rule = GateRule(
        min_accuracy_ratio=None,
        min_accuracy_gain=None,
        min_incumbent_gain=None,
        max_visual_token_ratio=None,
        min_resize_ratio_needed=None,
        max_resize_ratio_not_needed=None,
        max_failed_ratio=None,
    )
    assert [reason.name for reason in _decided(GOOD, rule).reasons] == ["min_samples"]


def test_a_baseline_of_nothing_proves_nothing() -> None:
    nothing = replace(FULL_VIEW, accuracy=0, visual_tokens_mean=0)
    decision = decide_promotion(GOOD, full_view=nothing, base=BASE, incumbent=None, rule=RULE)
    assert [reason.name for reason in decision.failures] == ["min_accuracy_ratio", "max_visual_token_ratio"]


def test_figures_that_are_no_number_fail() -> None:
    nan = float("nan")
    broken = replace(GOOD, accuracy=nan, visual_tokens_mean=nan, resize_ratio_needed=nan, failed_ratio=nan)
    assert {reason.name for reason in _decided(broken).failures} == {
        "min_accuracy_ratio",
        "min_accuracy_gain",
        "min_incumbent_gain",
        "max_visual_token_ratio",
        "min_resize_ratio_needed",
        "max_failed_ratio",
    }


def test_decision_is_json() -> None:
    decision = _decided(replace(GOOD, accuracy=float("nan"), latency_p95_s=None))
    written = json.loads(json.dumps(decision.to_dict(), allow_nan=False))
    assert written["promote"] is False
    assert written["reasons"][0] == {
        "name": "min_samples",
        "passed": True,
        "value": 600,
        "bound": 100,
        "text": "600 samples, at least 100 wanted",
    }


@pytest.mark.parametrize("share", ["min_resize_ratio_needed", "max_resize_ratio_not_needed", "max_failed_ratio"])
def test_a_share_beyond_one_is_refused(share: str) -> None:
    with pytest.raises(ConfigError, match="shares from 0 to 1"):
        replace(RULE, **{share: 1.01})  # type: ignore[arg-type]


def test_a_gate_needs_samples() -> None:
    with pytest.raises(ConfigError, match="min_samples must be at least 1"):
        GateRule(min_samples=0)


@pytest.mark.parametrize("figure", ["num_samples", "accuracy", "visual_tokens_mean"])
def test_negative_figures_are_refused(figure: str) -> None:
    with pytest.raises(DataError, match="never negative"):
        replace(GOOD, **{figure: -1})
