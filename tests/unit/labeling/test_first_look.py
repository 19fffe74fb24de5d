"""What a forecast learns from labels, and whether its probabilities can be believed."""

import random

import pytest

from visionthink.core.first_look import CallForecast
from visionthink.core.geometry import Size
from visionthink.datasets.world import FAMILIES, HELD_OUT_FAMILIES, TRAINED_FAMILIES
from visionthink.labeling.calibration import calibration_of
from visionthink.labeling.first_look import Case, Learned, Unlearnable, learn_forecast

SIZE = Size(width=112, height=112)


def world_cases(num_each: int = 12) -> list[Case]:
    """Every wording of the trained families, as often as the next."""
    return [
        Case(question=question, size=SIZE, family=name, needed=FAMILIES[name].needs_high_res)
        for name in TRAINED_FAMILIES
        for question in FAMILIES[name].questions
        for _ in range(num_each)
    ]


WORDS = ("alpha", "bravo", "delta", "echo", "golf", "hotel", "india", "kilo")
CHANCES = {"likely": 0.85, "even": 0.5, "seldom": 0.15}


def noisy_cases(count: int, seed: int) -> list[Case]:
    """Questions whose one telling word leaves the label to chance."""
    rng = random.Random(seed)
    return [
        Case(
            question=f"{word} {' '.join(rng.sample(WORDS, 3))} {rng.randrange(10**6)} ?",
            size=SIZE,
            family=rng.choice(["a", "b", "c"]),
            needed=rng.random() < CHANCES[word],
        )
        for word in (rng.choice(list(CHANCES)) for _ in range(count))
    ]


def learned(cases: list[Case]) -> Learned:
    found = learn_forecast(cases)
    assert isinstance(found, Learned)
    return found


def test_forecast_knows_the_questions_of_families_that_it_never_saw() -> None:
    found = learned(world_cases())
    for name in HELD_OUT_FAMILIES:
        for question in FAMILIES[name].questions:
            probability = found.forecast.probability(question, SIZE)
            assert (probability > 0.75) is FAMILIES[name].needs_high_res, question
    assert found.unseen_families is not None and found.unseen_families.brier < 0.22


def test_forecast_of_what_is_left_to_chance_says_the_chance() -> None:
    found = learned(noisy_cases(1500, seed=1))
    fresh = noisy_cases(3000, seed=2)
    said = [found.forecast.probability(case.question, case.size) for case in fresh]
    measured = calibration_of(said, [case.needed for case in fresh])
    best = sum(chance * (1 - chance) for chance in CHANCES.values()) / len(CHANCES)
    assert measured is not None and found.unseen_questions is not None
    assert measured.error < 0.05
    assert best - 0.02 < measured.brier < best + 0.02
    assert found.unseen_questions.brier == pytest.approx(measured.brier, abs=0.02)


def test_forecast_learns_from_the_size_of_pictures() -> None:
    large = Size(width=1120, height=1120)
    cases = [
        Case(question=f"what is it ? {number % 9}", size=large if needed else SIZE, family="a", needed=needed)
        for number in range(60)
        for needed in (True, False)
    ]
    forecast = learned(cases).forecast
    assert forecast.probability("what is it ?", large) > 0.75 > 0.25 > forecast.probability("what is it ?", SIZE)


def test_forecast_of_a_single_family_is_measured_on_its_own_questions_alone() -> None:
    cases = [
        Case(question=f"{'read' if needed else 'name'} {number % 7}", size=SIZE, family="all", needed=needed)
        for number in range(40)
        for needed in (True, False)
    ]
    found = learned(cases)
    assert found.unseen_families is None and found.unseen_questions is not None


def test_forecast_is_the_same_each_time_and_is_read_back_whole() -> None:
    first, second = learned(world_cases()), learned(world_cases())
    assert first == second
    assert CallForecast.from_dict(first.to_dict()) == first.forecast


@pytest.mark.parametrize(
    ("cases", "want"),
    [
        pytest.param([], "0 samples are labelled needed, and it takes 20", id="nothing"),
        pytest.param(
            [case for case in world_cases() if case.needed], "0 samples are labelled not needed", id="one label alone"
        ),
        pytest.param(
            [case for case in world_cases(40) if case.question in ("count the dots .", "read the framed letter .")],
            "told no better than by lot",
            id="one question a label",
        ),
        pytest.param(
            [case for case in world_cases() if case.family in ("color", "mark")],
            "told no better than by lot",
            id="questions that mislead about each other",
        ),
    ],
)
def test_labels_that_teach_nothing_give_no_forecast(cases: list[Case], want: str) -> None:
    found = learn_forecast(cases)
    assert isinstance(found, Unlearnable) and want in found.reason


def test_calibration_counts_by_bins() -> None:
    found = calibration_of([0.1, 0.1, 0.9, 1.0], [False, True, True, True])
    assert found is not None
    assert found.brier == pytest.approx((0.01 + 0.81 + 0.01 + 0) / 4)
    assert [(one.num_samples, one.happened) for one in found.bins] == [(2, 0.5), (2, 1.0)]
    assert found.error == pytest.approx((2 * 0.4 + 2 * 0.05) / 4)


def test_calibration_of_nothing_is_none() -> None:
    assert calibration_of([], []) is None
