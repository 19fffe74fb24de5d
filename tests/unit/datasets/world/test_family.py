"""Families stand clearly on one side, and what is known of them is enough to train, hold out and judge."""

import random

import pytest

from visionthink.datasets.world import FAMILIES, GRID, HELD_OUT_FAMILIES, TRAINED_FAMILIES, draw_scene, pick_families
from visionthink.errors import ConfigError

COARSE = {"color", "shape", "count", "tallest", "corner"}
FINE = {"code", "mark", "framed", "axis", "suffix"}


def test_five_families_a_side_and_one_of_each_is_held_out() -> None:
    assert {name for name, family in FAMILIES.items() if not family.needs_high_res} == COARSE
    assert {name for name, family in FAMILIES.items() if family.needs_high_res} == FINE
    assert set(HELD_OUT_FAMILIES) == {"corner", "suffix"}
    assert {*TRAINED_FAMILIES, *HELD_OUT_FAMILIES} == set(FAMILIES)
    assert all(FAMILIES[name].held_out for name in HELD_OUT_FAMILIES)


def test_no_two_families_share_a_wording() -> None:
    wordings = [question for family in FAMILIES.values() for question in family.questions]
    assert len(set(wordings)) == len(wordings)
    assert all(len(family.questions) >= 2 for family in FAMILIES.values())


def test_ask_uses_every_wording() -> None:
    rng = random.Random(0)
    for family in FAMILIES.values():
        (topic,) = (topic for topic in GRID.topics(draw_scene(rng)) if topic.family == family.name)
        assert {topic.ask(rng) for _ in range(40)} == set(family.questions)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_an_answer_cannot_be_guessed_without_the_picture(name: str) -> None:
    """Every answer of a family comes up about as often as the others."""
    rng = random.Random(1)
    answers = [FAMILIES[name].answer(draw_scene(rng)) for _ in range(2000)]
    num_answers = len(set(answers))
    assert num_answers >= 3
    most = max(answers.count(answer) for answer in set(answers))
    assert most / len(answers) < 1 / num_answers + 0.04


def test_pick_families_keeps_the_order_of_the_world() -> None:
    picked = [family.name for family in pick_families(["suffix", "code", "color"])]
    assert picked == ["color", "code", "suffix"]


@pytest.mark.parametrize(
    ("names", "match"),
    [(["colour"], r"\['colour'\].*'color'"), ([], "each once"), (["code", "code"], "each once")],
    ids=["misspelt", "none", "twice"],
)
def test_pick_families_refuses(names: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        pick_families(names)
