"""What holds of every decision about a first view."""

import math

from hypothesis import given
from hypothesis import strategies as st
from tests.property.core.strategies import sizes, view_rules

from visionthink.core import CallForecast, FirstLookRule, LookCosts, Size, ViewRule, full_view
from visionthink.core.first_look import features_of, token_costs
from visionthink.errors import DataError

SIZE = Size(width=100, height=100)
RULE = ViewRule(max_pixels=112 * 112, min_pixels=28 * 28)
PROBABILITIES = st.floats(0, 1)
COST = st.floats(1e-6, 1e6)
COSTS = st.builds(LookCosts, first=COST, further=COST, full=COST)
NO_LABELS = st.text(max_size=40) | st.lists(st.sampled_from(["read", "the", "color"])).map(" ".join)


def sure_of(probability: float) -> CallForecast:
    """A forecast that always says the same, as nearly as a logit can."""
    inside = min(max(probability, 1e-15), 1 - 1e-15)
    return CallForecast(bias=math.log(inside / (1 - inside)), weights={})


def takes_shortcut(probability: float, costs: LookCosts) -> bool:
    decision = FirstLookRule(forecast=sure_of(probability), costs=costs).decide("auto", "what ?", SIZE, RULE)
    assert decision is not None
    return decision.shortcut


@given(PROBABILITIES, COSTS)
def test_the_dearer_beginning_is_never_chosen_in_expectation(probability: float, costs: LookCosts) -> None:
    decision = FirstLookRule(forecast=sure_of(probability), costs=costs).decide("auto", "what ?", SIZE, RULE)
    assert decision is not None and decision.call_probability is not None
    asking = costs.first + decision.call_probability * costs.further
    chosen, other = (costs.full, asking) if decision.shortcut else (asking, costs.full)
    assert chosen <= other


@given(PROBABILITIES, PROBABILITIES, COSTS)
def test_a_likelier_call_never_loses_the_shortcut(one: float, other: float, costs: LookCosts) -> None:
    low, high = sorted((one, other))
    assert takes_shortcut(low, costs) <= takes_shortcut(high, costs)


@given(PROBABILITIES, COSTS, st.floats(1, 100))
def test_a_dearer_full_view_never_wins_the_shortcut(probability: float, costs: LookCosts, factor: float) -> None:
    dearer = LookCosts(first=costs.first, further=costs.further, full=costs.full * factor)
    assert takes_shortcut(probability, dearer) <= takes_shortcut(probability, costs)


@given(COSTS)
def test_the_threshold_is_where_both_beginnings_cost_the_same(costs: LookCosts) -> None:
    assert 0 <= costs.threshold <= 1
    if 0 < costs.threshold < 1:
        assert math.isclose(costs.ask_first(costs.threshold), costs.full, rel_tol=1e-6)


@given(sizes(), view_rules())
def test_without_a_measurement_a_view_costs_its_tokens(original: Size, rule: ViewRule) -> None:
    try:
        costs = token_costs(original, rule)
    except DataError:
        # A picture of which no view is possible is decided nothing about: the episode refuses it.
        assert FirstLookRule(forecast=sure_of(1.0)).decide("auto", "what ?", original, rule) is None
        return
    assert 0 < costs.first <= costs.full == costs.further == full_view(original, rule).visual_tokens
    assert costs.threshold == (costs.full - costs.first) / costs.full


@given(NO_LABELS, sizes(), st.dictionaries(st.text(max_size=5), st.floats(-1e6, 1e6), max_size=5), st.floats(-1e6, 1e6))
def test_a_forecast_is_a_probability_and_survives_json(
    question: str, original: Size, weights: dict[str, float], bias: float
) -> None:
    forecast = CallForecast(bias=bias, weights=weights)
    assert 0 <= forecast.probability(question, original) <= 1
    assert CallForecast.from_dict(forecast.to_dict()) == forecast


@given(NO_LABELS, sizes())
def test_words_have_length_one_and_no_word_is_a_size(question: str, original: Size) -> None:
    found = features_of(question, original)
    words = [value for name, value in found.items() if ":" not in name]
    assert len(found) - len(words) == 2
    assert not words or math.isclose(math.hypot(*words), 1.0)
