"""Glyphs are told apart by their pixels."""

from itertools import combinations

import pytest

from visionthink.datasets.world.glyph import DIGITS, HEIGHT, LETTERS, WIDTH, pixels


@pytest.mark.parametrize("character", DIGITS + LETTERS)
def test_a_glyph_fills_its_box(character: str) -> None:
    ink = pixels(character)
    assert {y for _, y in ink} == set(range(HEIGHT))
    assert {x for x, _ in ink} <= set(range(WIDTH))
    assert len(set(ink)) == len(ink)


@pytest.mark.parametrize(("alphabet", "least"), [(LETTERS, 2), (DIGITS, 1)], ids=["letters", "digits"])
def test_no_two_glyphs_of_an_alphabet_are_alike(alphabet: str, least: int) -> None:
    assert len(set(alphabet)) == len(alphabet)
    for one, other in combinations(alphabet, 2):
        assert len(set(pixels(one)) ^ set(pixels(other))) >= least, (one, other)


def test_a_character_without_a_glyph_is_an_error() -> None:
    with pytest.raises(KeyError):
        pixels("?")
