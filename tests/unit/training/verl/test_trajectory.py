import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.errors import EngineError
from visionthink.training.verl.trajectory import Trajectory, trajectory_of, unwritten

PAD = 9


def of(ids: list[int], mask: str, log_probs: list[float], views: list[int]) -> Trajectory:
    own = [mark == "1" for mark in mask]
    return trajectory_of(ids, own, log_probs, image_id=PAD, view_tokens=views)


@pytest.mark.parametrize(
    ("ids", "mask", "views", "want_prompt", "want_mask", "want_views"),
    [
        ([1, PAD, PAD, 2, 5, 6], "000011", [2], 4, "11", 1),
        ([1, PAD, PAD, 2, 5, 6, 3], "0000110", [2], 4, "11", 1),  # the template's line break
        ([1, PAD, 5, 6, PAD, PAD, 5], "0011001", [1, 2], 2, "11001", 2),
        ([1, PAD, 5, 6, PAD, PAD], "001100", [1, 2], 2, "11", 1),  # the second view was never answered
        ([1, 5], "01", [], 1, "1", 0),
    ],
)
def test_a_row_ends_with_what_the_model_wrote(
    ids: list[int], mask: str, views: list[int], want_prompt: int, want_mask: str, want_views: int
) -> None:
    got = of(ids, mask, [-1.0] * mask.count("1"), views)
    assert got.prompt_ids == tuple(ids[:want_prompt])
    assert got.response_ids == tuple(ids[want_prompt : want_prompt + len(want_mask)])
    assert "".join("01"[own] for own in got.mask) == want_mask and got.num_views == want_views


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4))
def test_every_log_probability_stands_at_its_id(spans: list[tuple[int, int]]) -> None:
    mask = "".join("0" * others + "1" * own for others, own in spans) + "00"
    log_probs = [-float(place + 1) for place in range(mask.count("1"))]
    got = of(list(range(10, 10 + len(mask))), mask, log_probs, [])
    assert [value for value, own in zip(got.log_probs, got.mask, strict=True) if own] == log_probs
    assert all(value == 0 for value, own in zip(got.log_probs, got.mask, strict=True) if not own)
    assert len(got.log_probs) == len(got.mask) == len(got.response_ids)


@pytest.mark.parametrize("log_probs", [[], [-1.0], [-1.0] * 3])
def test_log_probabilities_that_belong_to_no_id_are_refused(log_probs: list[float]) -> None:
    with pytest.raises(EngineError, match=f"2 tokens and the engine told {len(log_probs)}"):
        of([1, 5, 6], "011", log_probs, [])


def test_pads_that_are_no_whole_views_are_refused() -> None:
    with pytest.raises(EngineError, match="3 pads"):
        of([PAD, PAD, PAD, 5], "0001", [-1.0], [2, 2])


def test_nothing_of_a_failed_rollout_is_learned_from() -> None:
    got = unwritten([1, 2], end_id=7, num_views=0)
    assert (got.prompt_ids, got.response_ids, got.mask) == ((1, 2), (7,), (False,))
    assert unwritten([], end_id=7, num_views=0).prompt_ids == (7,)
