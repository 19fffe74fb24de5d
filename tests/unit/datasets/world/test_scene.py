"""Scenes are uniform: nothing of a picture tells anything else of it."""

import random
from collections import Counter
from itertools import combinations

import pytest

from visionthink.datasets.world import FAMILIES, Scene, draw_scene

NUM_SCENES = 4000


@pytest.fixture(scope="module")
def drawn() -> list[Scene]:
    rng = random.Random(7)
    return [draw_scene(rng) for _ in range(NUM_SCENES)]


def test_the_same_random_numbers_draw_the_same_scene() -> None:
    assert draw_scene(random.Random(1)) == draw_scene(random.Random(1)) != draw_scene(random.Random(2))


def test_one_answer_says_nothing_about_another(drawn: list[Scene]) -> None:
    answers = {name: [family.answer(scene) for scene in drawn] for name, family in FAMILIES.items() if name != "code"}
    for one, other in combinations(answers, 2):
        pairs = Counter(zip(answers[one], answers[other], strict=True))
        left, right = Counter(answers[one]), Counter(answers[other])
        expected = {(a, b): left[a] * right[b] / NUM_SCENES for a in left for b in right}
        chi_squared = sum((pairs[pair] - count) ** 2 / count for pair, count in expected.items())
        freedom = (len(left) - 1) * (len(right) - 1)
        # Mean and variance of chi squared are known: five standard deviations above the mean is no accident.
        assert chi_squared < freedom + 5 * (2 * freedom) ** 0.5, (one, other)
