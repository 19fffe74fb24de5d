import pytest

from visionthink.core import CallForecast, FirstLookRule, LookCosts, LookDecision, Size, ViewRule
from visionthink.core.first_look import FirstLookMode
from visionthink.core.json_value import Json
from visionthink.errors import ConfigError, DataError

SIZE = Size(width=112, height=112)
RULE = ViewRule(max_pixels=112 * 112, min_pixels=28 * 28)
READS = CallForecast(bias=0.0, weights={"read": 10.0, "color": -10.0})
ASKED = "read"
SEEN = "color"


@pytest.mark.parametrize(
    ("mode", "question", "want"),
    [
        pytest.param("off", ASKED, None, id="off decides nothing"),
        pytest.param("auto", ASKED, True, id="a likely call takes the shortcut"),
        pytest.param("auto", SEEN, False, id="an unlikely one does not"),
        pytest.param("auto", "what ?", False, id="unknown words leave it at one half, below three quarters"),
        pytest.param("full", SEEN, True, id="full takes it always"),
    ],
)
def test_mode_and_forecast_decide(mode: FirstLookMode, question: str, want: bool | None) -> None:
    decision = FirstLookRule(forecast=READS).decide(mode, question, SIZE, RULE)
    assert (decision and decision.shortcut) == want


def test_a_model_without_a_forecast_looks_first() -> None:
    assert FirstLookRule().decide("auto", ASKED, SIZE, RULE) is None


@pytest.mark.parametrize(
    ("costs", "want"),
    [
        pytest.param(LookCosts(first=1, further=4, full=4), 0.75, id="in tokens: a quarter and then all"),
        pytest.param(LookCosts(first=1, further=1, full=1.5), 0.5, id="turns of much the same length"),
        pytest.param(LookCosts(first=2, further=1, full=1.5), 0.0, id="asking first is dearer even without a call"),
        pytest.param(LookCosts(first=1, further=1, full=9), 1.0, id="the full view is dearer than both turns"),
    ],
)
def test_costs_give_the_threshold(costs: LookCosts, want: float) -> None:
    assert costs.threshold == want


def test_a_threshold_of_the_settings_takes_the_place_of_the_costs() -> None:
    rule = FirstLookRule(forecast=READS, costs=LookCosts(first=1, further=1, full=9), threshold=0.9)
    decision = rule.decide("auto", ASKED, SIZE, RULE)
    assert decision is not None
    assert (decision.shortcut, decision.threshold) == (True, 0.9)


@pytest.mark.parametrize("cost", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_cost_is_refused(cost: float) -> None:
    with pytest.raises(ConfigError, match="three costs above 0 in one unit"):
        LookCosts(first=1, further=cost, full=1)


def test_a_decision_is_told_as_json() -> None:
    decision = LookDecision(shortcut=True, call_probability=0.9, threshold=0.75)
    assert decision.to_dict() == {"shortcut": True, "call_probability": 0.9, "threshold": 0.75}


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ([], "no finite bias"),
        ({"version": 1, "bias": 0.0}, "no finite bias"),
        ({"version": 1, "bias": float("nan"), "weights": {}}, "no finite bias"),
        ({"version": 1, "bias": 0.0, "weights": {"read": float("inf")}}, "no finite bias"),
        ({"version": 1, "bias": 0.0, "weights": {"read": "much"}}, "no finite bias"),
        ({"version": 2, "bias": 0.0, "weights": {}}, "version 2 of it is not known here, only 1"),
    ],
)
def test_what_is_no_forecast_is_refused(value: Json, want: str) -> None:
    with pytest.raises(DataError, match=want):
        CallForecast.from_dict(value)


def test_capitals_and_signs_do_not_matter_and_neighbours_do() -> None:
    pair = CallForecast(bias=0.0, weights={"read the": 5.0})
    assert pair.probability("Read THE label!", SIZE) == pair.probability("read the label", SIZE) > 0.9
    assert pair.probability("the label read", SIZE) == 0.5


def test_the_size_of_the_picture_speaks_too() -> None:
    small = CallForecast(bias=0.0, weights={"pixels: 2^14": -5.0})
    assert small.probability("what ?", SIZE) < 0.01
    assert small.probability("what ?", Size(width=1120, height=1120)) == 0.5
