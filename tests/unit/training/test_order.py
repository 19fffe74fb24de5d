"""Which prompts a step is about: fair over epochs, shuffled, and the same for a seed."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.training.written import prompt

from visionthink.training import order
from visionthink.training.order import in_turn

SIDES = st.tuples(st.integers(0, 12), st.integers(0, 12))
NEEDED = [prompt(number, needed=True) for number in range(5)]
REST = [prompt(number, needed=False) for number in range(5, 12)]
ORDER = [[1, 0, 4, 2], [3, 3, 4, 1], [2, 0, 3, 0], [2, 4, 1, 3]]


@given(SIDES)
def test_both_labels_are_spread_evenly_and_keep_their_order(sizes: tuple[int, int]) -> None:
    needed, rest = [[f"{name}{number:02}" for number in range(size)] for name, size in zip("ab", sizes, strict=True)]
    got = in_turn(needed, rest)
    assert [one for one in got if one[0] == "a"] == needed and [one for one in got if one[0] == "b"] == rest
    for end in range(len(got) + 1):
        have = sum(one[0] == "a" for one in got[:end])
        assert abs(have - end * len(needed) / max(len(got), 1)) <= 1


def test_equal_shares_alternate() -> None:
    assert in_turn(["a", "b"], ["c", "d"]) == ["a", "c", "b", "d"]


def test_an_epoch_shows_every_prompt_once() -> None:
    for prompts, label in ((NEEDED, "needed"), (REST, "not needed")):
        picked = [item for step in range(35) for item in order._slice(label, prompts, step, 2, 0)]
        for start in range(0, len(picked), len(prompts)):
            epoch = [item.sample.id for item in picked[start : start + len(prompts)]]
            assert sorted(epoch) == sorted(item.sample.id for item in prompts)[: len(epoch)]
        first, second = picked[: len(prompts)], picked[len(prompts) : 2 * len(prompts)]
        assert first != second, "the next epoch has another order"


def test_the_order_of_prompts_is_the_reviewed_one() -> None:
    """A run that was begun before goes on with it."""
    picked = [[item.sample.id for item in order._slice("needed", NEEDED, step, 4, 3)] for step in range(4)]
    assert [[int(name.removeprefix("sample-")) for name in step] for step in picked] == ORDER


def test_an_epoch_is_shuffled_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(random.Random):
        def __init__(self, seed: str) -> None:
            made.append(seed)
            super().__init__(seed)

    monkeypatch.setattr(random, "Random", Counted)
    order._slice("needed", NEEDED, 1, 12, 0)
    assert made == ["0/needed/2", "0/needed/3", "0/needed/4"]


def test_a_batch_may_be_larger_than_an_epoch() -> None:
    picked = order._slice("needed", NEEDED, 0, 12, 0)
    counts = Counter(item.sample.id for item in picked)
    assert set(counts.values()) == {2, 3} and len(counts) == 5
